// The build is committed beside the server's sources and compiled into the binary, so `cargo install`
// needs no npm. Names carry no hash: the server embeds them by name, and a rebuild must diff cleanly.
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  build: {
    outDir: '../../crates/campanile/src/playground/dist',
    emptyOutDir: true,
    assetsDir: '',
    target: 'es2022',
    // The polyfill exists for browsers older than the target.
    modulePreload: false,
    // The bundle contains MIT-licensed packages whose notices must travel with it.
    license: { fileName: 'licenses.md' },
    rolldownOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app[extname]' },
    },
  },
});
