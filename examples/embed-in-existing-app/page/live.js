// All that was added to the page: the list of orders is replaced when there is a newer one.

import { Centrifuge } from './centrifuge.mjs';

const element = (id) => document.getElementById(id);
const url = new URL('/connection/websocket', location.href);
url.protocol = url.protocol.replace('http', 'ws');

// The browser sends the cookie along. There is no token.
const client = new Centrifuge(url.href, { maxReconnectDelay: 5000 });
client.on('state', ({ newState }) => {
  element('state').textContent = newState;
  element('state').dataset.state = newState;
});
client.on('publication', ({ data: { version, html } }) => {
  const list = element('orders');
  if (version <= Number(list.dataset.version)) return;
  list.dataset.version = version;
  // The server's own page, already escaped: only the server publishes in this channel.
  list.innerHTML = html;
});
// For good: the SDK comes back by itself after everything else.
client.on('disconnected', ({ code, reason }) => {
  element('orders').replaceChildren();
  element('message').textContent = `${reason} (${code})`;
});
client.connect();
