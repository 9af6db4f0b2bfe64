"""The web server: one port for the page, the scene, the stream and the edits."""
