// The build is committed beside the server's sources and compiled into the binary, so `cargo install`
// needs no npm. Names carry no hash: the server embeds them by name, and a rebuild must diff cleanly.
import { readFileSync } from 'node:fs';
import { defineConfig, type Plugin } from 'vite';

// Whose code is in the bundle: the SDK, and the package that the SDK's own build has inlined,
// which is why Vite's `build.license` misses it. Their notices must travel with the copies.
const BUNDLED = ['centrifuge', 'events'];

const notices: Plugin = {
  name: 'notices',
  generateBundle() {
    const source = BUNDLED.map((name) => `## ${name}\n\n${readFileSync(`node_modules/${name}/LICENSE`, 'utf8').trim()}\n`);
    this.emitFile({ type: 'asset', fileName: 'licenses.md', source: source.join('\n') });
  },
};

export default defineConfig({
  base: './',
  plugins: [notices],
  build: {
    outDir: '../../crates/campanile/src/playground/dist',
    emptyOutDir: true,
    assetsDir: '',
    target: 'es2022',
    // The polyfill exists for browsers older than the target.
    modulePreload: false,
    rolldownOptions: {
      output: { entryFileNames: 'app.js', assetFileNames: 'app[extname]' },
    },
  },
});
