// The page: signs in, connects with the SDK, shows what `Inbox` holds.

import { Centrifuge, UnauthorizedError } from './centrifuge.mjs';
import { Inbox } from './inbox.js';

const LOAD_AGAIN_MS = 2000;

const element = (id) => document.getElementById(id);
const inbox = new Inbox();
let client;
/** Whose page this is; null before anybody has signed in. */
let pageUser = null;
let tokens = 0;
/** Notifications that came while catching up; null at other times. */
let caughtUp = null;

async function ask(path, body) {
  // The cookie is that of the whole browser: another tab may have signed in as somebody else.
  const headers = { 'Content-Type': 'application/json', ...(pageUser && { 'X-Page-User': pageUser }) };
  const answer = await fetch(path, body ? { method: 'POST', headers, body: JSON.stringify(body) } : { headers });
  const value = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(value.error), { status: answer.status });
  return value;
}

/** The SDK asks for the first token, and for the next one before that has expired. */
async function getToken() {
  try {
    const { token } = await ask('/token');
    element('tokens').textContent = `${++tokens}`;
    return token;
  } catch (error) {
    // Only this error means "do not try again".
    throw error.status === 401 ? new UnauthorizedError(error.message) : error;
  }
}

function connect(endpoint) {
  client = new Centrifuge(endpoint, { getToken, maxReconnectDelay: 5000 });
  client.on('state', ({ newState }) => showState(newState));
  client.on('disconnected', ({ reason }) => say(`disconnected: ${reason}; reload the page`));
  client.on('subscribed', ({ wasRecovering, recovered }) => {
    if (recovered) catchUp();
    else load(wasRecovering);
  });
  client.on('publication', ({ data }) => apply(data));
  client.connect();
}

/** What was missed follows the event `subscribed` at once: it is all there when this task is over. */
function catchUp() {
  caughtUp = 0;
  setTimeout(() => {
    showMissed(caughtUp);
    caughtUp = null;
  });
}

/**
 * Loads the list: at the first connection, or after one that was lost for longer than history reaches. The
 * subscription is there already. So what the list does not have yet will come as a publication, and what is in both
 * is in the inbox once.
 */
async function load(wasAway) {
  try {
    const { notifications } = await ask('/notifications');
    const isNew = notifications.map((notification) => inbox.add(notification));
    if (wasAway) showMissed(isNew.filter(Boolean).length);
    show();
  } catch (error) {
    say(`loading failed: ${error.message}`);
    if (error.status !== 401) setTimeout(() => load(wasAway), LOAD_AGAIN_MS);
  }
}

function apply(event) {
  if (event.type === 'read') inbox.markRead(event.id);
  else if (event.type === 'notification' && inbox.add(event) && caughtUp !== null) caughtUp++;
  show();
}

async function markRead(id) {
  try {
    await ask('/read', { id });
    inbox.markRead(id);
    show();
  } catch (error) {
    say(`not marked: ${error.message}`);
  }
}

// What others wrote goes into the page as text only, never as HTML.

function show() {
  element('unread').textContent = `${inbox.unread}`;
  element('unread').dataset.count = inbox.unread;
  document.title = inbox.unread ? `(${inbox.unread}) Notifications` : 'Notifications';
  element('list').replaceChildren(...inbox.newestFirst.map(listItem));
}

function listItem({ id, text, created }) {
  const item = document.createElement('li');
  const words = document.createElement('p');
  words.textContent = text;
  const time = document.createElement('time');
  const date = new Date(created * 1000);
  time.dateTime = date.toISOString();
  time.textContent = date.toLocaleTimeString();
  item.append(words, time);
  item.dataset.read = inbox.isRead(id);
  if (!inbox.isRead(id)) {
    const button = document.createElement('button');
    button.textContent = 'Mark read';
    button.addEventListener('click', () => markRead(id));
    item.append(button);
  }
  return item;
}

function showState(state) {
  element('state').textContent = state;
  element('state').dataset.state = state;
}

function showMissed(count) {
  element('missed').textContent = `missed while away: ${count}`;
}

function say(text) {
  element('message').textContent = text;
}

function enter({ user, endpoint }) {
  pageUser = user;
  element('user').textContent = user;
  element('login').hidden = true;
  element('signed-in').hidden = false;
  connect(endpoint);
}

element('login').addEventListener('submit', async (event) => {
  event.preventDefault();
  try {
    enter(await ask('/login', { user: element('name').value }));
    say('');
  } catch (error) {
    say(error.message);
  }
});

element('logout').addEventListener('click', async () => {
  client.disconnect();
  await ask('/logout', {});
  location.reload();
});

element('send').addEventListener('submit', async (event) => {
  event.preventDefault();
  const to = element('to').value.split(',').map((name) => name.trim());
  try {
    await ask('/notify', { to, text: element('text').value });
    element('text').value = '';
    say('');
  } catch (error) {
    say(`not sent: ${error.message}`);
  }
});

ask('/session').then(enter, () => (element('login').hidden = false));
