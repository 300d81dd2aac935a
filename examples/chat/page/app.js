// The page: enters with a name, connects with the SDK, shows the room, does what is typed.

import { Centrifuge } from './centrifuge.mjs';
import { Room, shown } from './room.js';

/** Often enough to be seen as typing all the time. */
const TYPING_EVERY_MS = 2000;
const NOTES_MAX = 200;
const HELP = `/list            rooms, and how many are in each
/join ROOM       go to a room
/name NAME       be called something else
/msg USER TEXT   tell one user something
anything else    is said in the room`;

const element = (id) => document.getElementById(id);
let client;
let me;
let room;
/** What is for this page alone, with the time when it came. */
const notes = [];
let typed = 0;

function connect(name) {
  me = name;
  // The server takes the user from here, and the user of everything that is said from the connection.
  const address = `${location.origin.replace(/^http/, 'ws')}/connection/websocket`;
  client = new Centrifuge(address, { data: { name }, maxReconnectDelay: 5000 });
  client.on('state', ({ newState }) => showState(newState));
  client.on('message', ({ data }) => data.type === 'private' && note(data));
  client.once('connected', () => {
    element('login').hidden = true;
    element('chat').hidden = false;
    element('line').focus();
  });
  client.on('disconnected', ({ reason }) => say(reason));
  client.connect();
}

/** Stays where it is until it is in the other room. */
async function join(name) {
  if (name === room?.name) return;
  const next = new Room(client, name, me, show);
  try {
    await next.enter();
  } catch (error) {
    next.leave();
    throw error;
  }
  room?.leave();
  room = next;
  show();
}

async function tell(words) {
  const [, to, text] = words.match(/^(\S*)\s*(.*)$/s);
  note((await client.rpc('tell', { to, text })).data);
}

async function list() {
  const { data } = await client.rpc('rooms', {});
  const lines = Object.entries(data).map(([name, count]) => `${name} (${count})`);
  tellMe(lines.join('\n'));
}

/** What is typed, as terminals understand it. */
async function obey(line) {
  const [, command, rest] = line.trim().match(/^(\S*)\s*(.*)$/s);
  switch (command) {
    case '/list': return list();
    case '/join': return join(rest);
    case '/name': return client.rpc('name', { name: rest, room: room.name });
    case '/msg': return tell(rest);
    default: return command.startsWith('/') ? tellMe(HELP) : room.say(line);
  }
}

function tellMe(text) {
  note({ type: 'note', text, at: Date.now() });
}

function note(message) {
  notes.push(message);
  if (notes.length > NOTES_MAX) notes.shift();
  show();
}

// What others wrote goes into the page as text only, never as HTML.

function show() {
  if (!room) return;
  element('room').textContent = room.name;
  element('log').replaceChildren(...merged(room.said, notes).map(lineItem));
  element('log').scrollTop = element('log').scrollHeight;
  element('members').replaceChildren(...room.members.map(memberItem));
  const { typing } = room;
  element('typing').textContent = typing.length ? `${typing.join(', ')} typing…` : '';
}

/** Notes where they belong by their time; the room's own order is not touched. */
function merged(said, notes) {
  const lines = [];
  let next = 0;
  for (const message of said) {
    while (notes[next]?.at < message.at) lines.push(notes[next++]);
    lines.push(message);
  }
  return [...lines, ...notes.slice(next)];
}

function lineItem({ type, from, name, to, text, at }) {
  const item = document.createElement('li');
  item.dataset.type = type;
  const time = document.createElement('time');
  time.dateTime = new Date(at).toISOString();
  time.textContent = new Date(at).toLocaleTimeString();
  const who = type === 'note' ? '' : `[${shown(from, name)}${to ? ` to ${to}` : ''}]: `;
  const words = document.createElement('span');
  words.textContent = who + text;
  item.append(time, words);
  return item;
}

function memberItem({ user, name, devices }) {
  const item = document.createElement('li');
  item.textContent = shown(user, name) + (devices > 1 ? ` ×${devices}` : '');
  return item;
}

function showState(state) {
  element('state').textContent = state;
  element('state').dataset.state = state;
}

function say(text) {
  element('message').textContent = text;
}

element('login').addEventListener('submit', (event) => {
  event.preventDefault();
  say('');
  client?.disconnect();
  connect(element('name').value);
  client.once('connected', () => join('main').catch((error) => say(error.message)));
});

element('line').addEventListener('input', ({ target: { value } }) => {
  const now = Date.now();
  if (!value || value.startsWith('/') || now - typed < TYPING_EVERY_MS) return;
  typed = now;
  room?.type();
});

element('say').addEventListener('submit', async (event) => {
  event.preventDefault();
  const line = element('line').value;
  try {
    await obey(line);
    if (element('line').value === line) element('line').value = '';
    typed = 0;
    say('');
  } catch (error) {
    say(error.message);
  }
});
