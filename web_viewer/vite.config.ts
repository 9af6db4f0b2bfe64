import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

// The built client is part of the Python package: the server sends it from twin/server/static.
export default defineConfig({
  plugins: [svelte()],
  build: {
    outDir: "../twin/server/static",
    emptyOutDir: true,
    target: "es2022",
    // The content security policy allows nothing inline but styles, so fonts and images stay files.
    assetsInlineLimit: 0,
    license: { fileName: "licenses.md" },
    chunkSizeWarningLimit: 1200,
  },
  server: {
    proxy: {
      "/api": { target: process.env.TWIN_URL ?? "http://127.0.0.1:8000", ws: true, changeOrigin: false },
    },
  },
});
