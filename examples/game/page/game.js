// The page: connects with the SDK, sends keys, draws what `Picture` holds. `Centrifuge` is of the SDK's Protobuf bundle.

import { Picture } from './picture.js';

const TICK_MS = 50;
const KEYS = {
  ArrowUp: 1, KeyW: 1,
  ArrowRight: 2, KeyD: 2,
  ArrowDown: 4, KeyS: 4,
  ArrowLeft: 8, KeyA: 8,
};

const element = (id) => document.getElementById(id);
const show = (id, text) => (element(id).textContent = text);

/** For the console, and for the test: what is drawn. */
const game = { picture: new Picture(), me: 0 };
window.game = game;

const endpoint = new URL('/connection/websocket?cf_protocol=protobuf', location.href.replace(/^http/, 'ws'));
const client = new Centrifuge(endpoint.href, { protocol: 'protobuf', maxReconnectDelay: 5000 });
const arena = client.newSubscription('arena:main');

// Frames.

let lastFrameAt = performance.now();
let [frames, longestWait] = [0, 0];
let isAsking = false;
let repairs = 0;

/** Whoever subscribes is in the arena, and gets everything there is, behind the own number. */
arena.on('subscribed', ({ data }) => {
  game.me = data[0] + 256 * data[1];
  game.picture = new Picture();
  game.picture.receive(data.subarray(2));
  sendKeys();
  say('');
});
arena.on('error', ({ error }) => say(`${error.message}; trying again`));
arena.on('unsubscribed', ({ reason }) => say(reason));

arena.on('publication', ({ data }) => {
  const now = performance.now();
  longestWait = Math.max(longestWait, now - lastFrameAt);
  lastFrameAt = now;
  frames += 1;
  if (!game.picture.receive(data)) repair();
});

/** A tick is missing: another one will not bring it, but a keyframe makes it unnecessary. */
async function repair() {
  if (isAsking) return;
  isAsking = true;
  const { picture } = game;
  try {
    const { data } = await client.rpc('keyframe', new Uint8Array());
    // If it is another picture by now, that one began with a keyframe of its own.
    if (picture === game.picture) picture.receive(data);
    show('repairs', ++repairs);
  } catch {
    // The connection is lost, or the server is slow to answer. The next frame tries again.
  } finally {
    isAsking = false;
  }
}

// Keys.

let keys = 0;

function sendKeys() {
  // If there is no connection now, they are sent when there is one.
  client.send(Uint8Array.of(keys)).catch(() => {});
}

function hold(wanted) {
  if (wanted === keys) return;
  keys = wanted;
  sendKeys();
}

addEventListener('keydown', (event) => {
  const key = KEYS[event.code];
  if (!key) return;
  event.preventDefault();
  hold(keys | key);
});
addEventListener('keyup', ({ code }) => hold(keys & ~(KEYS[code] ?? 0)));
// A page without the focus is not told that a key is released.
addEventListener('blur', () => hold(0));

// What can be read.

function say(text) {
  show('message', text);
}

client.on('state', ({ newState }) => {
  show('state', newState);
  element('state').dataset.state = newState;
});

async function ping() {
  const begin = performance.now();
  await client.rpc('ping', new Uint8Array());
  show('round-trip', (performance.now() - begin).toFixed(1));
}

setInterval(() => {
  show('players', game.picture.players.size);
  show('score', game.picture.players.get(game.me)?.score ?? 0);
  show('ticks', frames);
  show('wait', Math.max(longestWait, performance.now() - lastFrameAt).toFixed(0));
  [frames, longestWait] = [0, 0];
  if (client.state === 'connected') ping().catch(() => show('round-trip', '–'));
  else show('round-trip', '–');
}, 1000);

// What can be seen.

const canvas = element('arena');
const brush = canvas.getContext('2d');

function disc({ x, y }, radius, colour) {
  brush.beginPath();
  brush.arc(x, y, radius, 0, 2 * Math.PI);
  brush.fillStyle = colour;
  brush.fill();
}

/** Players are drawn a tick late, on their way from where they were to where they are. */
function draw(now) {
  const part = Math.min(1, Math.max(0, (now - lastFrameAt) / TICK_MS));
  const between = (from, to) => from + (to - from) * part;
  brush.clearRect(0, 0, canvas.width, canvas.height);
  for (const dot of game.picture.dots) disc(dot, 5, '#b98a2f');
  for (const [id, { x, y, from }] of game.picture.players) {
    const place = { x: between(from.x, x), y: between(from.y, y) };
    if (id === game.me) disc(place, 19, '#888');
    disc(place, 15, `hsl(${(id * 137.5) % 360} 65% 55%)`);
  }
  requestAnimationFrame(draw);
}

requestAnimationFrame(draw);
arena.subscribe();
client.connect();
