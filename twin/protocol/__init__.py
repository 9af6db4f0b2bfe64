"""The wire between server and browser: messages, binary state frames, and the TypeScript made from them."""
