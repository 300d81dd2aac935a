// HS256 tokens, signed with node's own crypto so that the suite shares no code with what it tests.

import { createHmac } from 'node:crypto';

export const SECRET = 'end-to-end-secret-of-sufficient-length';

const encoded = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

export function sign(claims, { secret = SECRET, header = { alg: 'HS256', typ: 'JWT' } } = {}) {
  const body = `${encoded(header)}.${encoded(claims)}`;
  return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

/** Unix seconds, `seconds` from now. */
export const inSeconds = (seconds) => Math.floor(Date.now() / 1000) + seconds;

export const userToken = (user, claims = {}) => sign({ sub: user, exp: inSeconds(3600), ...claims });

export const channelToken = (user, channel, claims = {}) =>
  sign({ sub: user, channel, exp: inSeconds(3600), ...claims });
