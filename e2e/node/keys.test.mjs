// Tokens that a key pair signs, with the keys published as a JWKS: what an identity provider does.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { connected, newClient, someone, subscribed } from '../lib/client.mjs';
import { inSeconds, userToken } from '../lib/jwt.mjs';
import { Server } from '../lib/server.mjs';
import { next } from '../lib/wait.mjs';

// ECDSA signatures of tokens are the two numbers, not the DER structure around them.
const KINDS = {
  RS256: { pair: generateKeyPairSync('rsa', { modulusLength: 2048 }), digest: 'sha256' },
  RS512: { pair: generateKeyPairSync('rsa', { modulusLength: 2048 }), digest: 'sha512' },
  ES256: { pair: generateKeyPairSync('ec', { namedCurve: 'P-256' }), digest: 'sha256', dsaEncoding: 'ieee-p1363' },
  ES384: { pair: generateKeyPairSync('ec', { namedCurve: 'P-384' }), digest: 'sha384', dsaEncoding: 'ieee-p1363' },
  EdDSA: { pair: generateKeyPairSync('ed25519') },
};

function token(alg, claims, { kid = alg, pair = KINDS[alg].pair } = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = `${part({ alg, kid, typ: 'JWT' })}.${part({ exp: inSeconds(3600), ...claims })}`;
  const { digest, dsaEncoding } = KINDS[alg];
  return `${body}.${sign(digest, Buffer.from(body), { key: pair.privateKey, dsaEncoding }).toString('base64url')}`;
}

let publisher;
let server;
let fetches = 0;
before(async () => {
  const published = Object.entries(KINDS).map(([alg, { pair }]) => ({
    ...pair.publicKey.export({ format: 'jwk' }),
    kid: alg,
    alg,
    use: 'sig',
  }));
  publisher = createServer((_, response) => {
    fetches++;
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ keys: published }));
  });
  await new Promise((resolve) => publisher.listen(0, '127.0.0.1', resolve));
  const jwks_public_endpoint = `http://127.0.0.1:${publisher.address().port}/jwks`;
  server = await Server.start({ client: { token: { jwks_public_endpoint } } });
});
after(async () => {
  await server.stop();
  publisher.closeAllConnections();
  publisher.close();
});

test('tokens of every kind of published key connect and subscribe', async (t) => {
  for (const alg of Object.keys(KINDS)) {
    const user = someone();
    const { client } = await connected(t, server.ws, { user, token: token(alg, { sub: user }) });
    const channel = `locked:${alg}`;
    await subscribed(client, channel, { token: token(alg, { sub: user, channel }) });
  }
  assert.ok(fetches < Object.keys(KINDS).length, `the keys were fetched ${fetches} times`);
});

const FAULTS = {
  'signed by an unknown key': () => token('ES256', { sub: 'u' }, { kid: 'nobody' }),
  'signed by another key of the same name': () =>
    token('ES256', { sub: 'u' }, { pair: generateKeyPairSync('ec', { namedCurve: 'P-256' }) }),
  'signed by a shared secret': () => userToken('u'),
};

test('tokens that no published key has signed are refused for good', async (t) => {
  for (const [fault, make] of Object.entries(FAULTS)) {
    const client = newClient(t, server.ws, { token: make() });
    const refused = next(client, 'disconnected');
    client.connect();
    assert.equal((await refused).code, 3500, fault);
  }
});
