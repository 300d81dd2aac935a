// A port for a server that comes and goes.

import { createServer } from 'node:net';

/**
 * A free port of which the kernel gives none away by itself. One that it does could be taken while the server is
 * down, and a client that calls nobody there could reach itself.
 */
export async function fixedPort() {
  for (;;) {
    // No part of what a seed repeats: two runs of one may be under way.
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    const probe = createServer();
    const isFree = await new Promise((resolve) => {
      probe.once('error', () => resolve(false));
      probe.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => probe.close(resolve));
    if (isFree) return port;
  }
}
