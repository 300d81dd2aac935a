// The page: the browser's own WebSocket, and a list of what came back.

/** The limit of the server, in bytes: `websocket.message_size_limit`. */
const LIMIT = 65_536;
const BURST = 100;
const SHOWN_MAX = 200;

const element = (id) => document.getElementById(id);
let socket;
/** What was sent and has not come back, oldest first: messages of a WebSocket keep their order. */
let underway = [];
let count = 0;

function open(subprotocols = []) {
  socket?.close();
  const url = new URL('/connection/echo', location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const opened = new WebSocket(url, subprotocols);
  // The end of the one before may come later than this.
  const on = (event, act) => opened.addEventListener(event, (said) => opened === socket && act(said));
  on('open', () => showState('open'));
  on('message', ({ data }) => cameBack(data));
  on('close', ({ code, reason }) => {
    showState('closed');
    element('closed').textContent = [code, reason].filter(Boolean).join(' ');
  });
  opened.binaryType = 'arraybuffer';
  socket = opened;
  underway = [];
  showState('connecting');
  element('closed').textContent = '–';
}

function send(data) {
  say('');
  if (socket.readyState !== WebSocket.OPEN) return say('not sent: the socket is not open');
  underway.push({ data, at: performance.now() });
  socket.send(data);
}

function cameBack(data) {
  const sent = underway.shift();
  const took = performance.now() - sent.at;
  element('count').textContent = ++count;
  element('trip').textContent = `${took.toFixed(1)} ms`;
  const item = document.createElement('li');
  const isSame = equal(sent.data, data);
  item.dataset.same = isSame;
  // As text only, never as HTML.
  item.textContent = `${described(data)} · ${isSame ? 'the same' : 'DIFFERENT'} · ${took.toFixed(1)} ms`;
  element('list').prepend(item);
  if (element('list').children.length > SHOWN_MAX) element('list').lastChild.remove();
}

function equal(a, b) {
  if (typeof a === 'string' || typeof b === 'string') return a === b;
  const [left, right] = [new Uint8Array(a), new Uint8Array(b)];
  return left.length === right.length && left.every((byte, at) => byte === right[at]);
}

function described(data) {
  if (typeof data === 'string') {
    const bytes = new TextEncoder().encode(data).length;
    return `text, ${bytes} bytes: ${data.slice(0, 60)}`;
  }
  const first = [...new Uint8Array(data, 0, Math.min(data.byteLength, 8))];
  const hex = first.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return `binary, ${data.byteLength} bytes: ${hex}`;
}

/** Every value of a byte, over and over. */
const bytes = (size) => Uint8Array.from({ length: size }, (_, at) => at % 256).buffer;

function showState(state) {
  element('state').textContent = state;
  element('state').dataset.state = state;
}

function say(text) {
  element('message').textContent = text;
}

function onSubmit(id, act) {
  element(id).addEventListener('submit', (event) => {
    event.preventDefault();
    act();
  });
}

const onClick = (id, act) => element(id).addEventListener('click', act);

onSubmit('text-form', () => send(element('text').value));
onSubmit('binary-form', () => send(bytes(Number(element('size').value))));
onSubmit('close-form', () => {
  try {
    say('');
    socket.close(Number(element('code').value), element('reason').value);
    showState('closing');
  } catch (error) {
    // The browser's rules: 1000 or 3000 to 4999, and a reason of 123 bytes at most.
    say(error.message);
  }
});
onClick('burst', () => {
  for (let n = 1; n <= BURST; n++) send(`${n} of ${BURST}`);
});
onClick('long-text', () => send('x'.repeat(LIMIT + 1)));
onClick('long-binary', () => send(bytes(LIMIT + 1)));
onClick('subprotocol', () => open(['nobody.speaks.this']));
onClick('open', () => open());

open();
