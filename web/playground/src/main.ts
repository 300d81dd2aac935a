// Wires the page's controls to the unmodified Centrifuge SDK and shows what happens.

import { Centrifuge, State, type PublicationContext, type SubscribedContext, type Subscription } from 'centrifuge';
import { curlLine } from './curl';
import { Log } from './log';
import { Wire, type WireEvent } from './wire';

function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

const page = {
  state: element('state'),
  url: element<HTMLInputElement>('url'),
  token: element<HTMLTextAreaElement>('token'),
  connect: element<HTMLButtonElement>('connect'),
  disconnect: element<HTMLButtonElement>('disconnect'),
  kill: element<HTMLButtonElement>('kill'),
  hold: element<HTMLInputElement>('hold'),
  channel: element<HTMLInputElement>('channel'),
  unsubscribe: element<HTMLButtonElement>('unsubscribe'),
  payload: element<HTMLTextAreaElement>('payload'),
  publish: element<HTMLButtonElement>('publish'),
  publishResult: element<HTMLOutputElement>('publish-result'),
  curl: element('curl'),
  copy: element<HTMLButtonElement>('copy'),
  offset: element('offset'),
  epoch: element('epoch'),
  wasRecovering: element('was-recovering'),
  recovered: element('recovered'),
  caughtUp: element('caught-up'),
};
const events = new Log(element('events'));
const messages = new Log(element('messages'));
const frames = new Log(element('frames'));
const wire = new Wire(onWire);

/** What the shown command has for a key until the server tells its own. */
let apiKey = '$API_KEY';
let client: Centrifuge | undefined;
let subscription: Subscription | undefined;
/** Offsets that the last subscribe reply brought along: what was published while the line was down. */
let caughtUp = new Set<number>();

function onWire(event: WireEvent): void {
  if (event.kind === 'close') {
    frames.add({ tag: 'closed', text: `${event.code} ${event.reason}`.trim(), kind: 'bad' });
    return;
  }
  for (const line of event.text.split('\n').filter(Boolean)) {
    frames.add({ tag: event.direction, text: line, kind: event.direction });
    if (event.direction === 'in') noteRecovered(line);
  }
}

function noteRecovered(line: string): void {
  const reply = JSON.parse(line) as { subscribe?: { publications?: { offset?: number }[] } };
  if (!reply.subscribe) return;
  caughtUp = new Set((reply.subscribe.publications ?? []).map((publication) => publication.offset ?? 0));
}

function connect(): void {
  client?.disconnect();
  client = new Centrifuge(page.url.value, {
    token: page.token.value.trim(),
    websocket: wire.socketClass(),
    name: 'playground',
    // Quick enough to watch; the SDK's own defaults suit crowds, not one tab.
    minReconnectDelay: 300,
    maxReconnectDelay: 2000,
  });
  client.on('state', ({ newState }) => showState(newState));
  client.on('connecting', ({ code, reason }) => events.add({ tag: 'connecting', text: `${code} ${reason}` }));
  client.on('connected', ({ client: id }) => events.add({ tag: 'connected', text: `client ${id}`, kind: 'good' }));
  client.on('disconnected', ({ code, reason }) =>
    events.add({ tag: 'disconnected', text: `${code} ${reason}`, kind: 'bad' }),
  );
  client.on('error', ({ error }) => events.add({ tag: 'error', text: `${error.code} ${error.message}`, kind: 'bad' }));
  client.connect();
  // A subscription belongs to the client that made it, so a new client subscribes anew.
  if (subscription) subscribe();
}

function subscribe(): void {
  if (!client) connect();
  if (!client) return;
  drop();
  const sub = client.newSubscription(page.channel.value, { recoverable: true, positioned: true });
  sub.on('subscribed', showSubscribed);
  sub.on('publication', showPublication);
  sub.on('subscribing', ({ code, reason }) => events.add({ tag: 'subscribing', text: `${code} ${reason}` }));
  sub.on('unsubscribed', ({ code, reason }) =>
    events.add({ tag: 'unsubscribed', text: `${code} ${reason}`, kind: code === 0 ? undefined : 'bad' }),
  );
  sub.on('error', ({ error }) => events.add({ tag: 'error', text: `${error.code} ${error.message}`, kind: 'bad' }));
  sub.subscribe();
  subscription = sub;
  page.unsubscribe.disabled = false;
}

function drop(): void {
  subscription?.unsubscribe();
  if (subscription && client?.getSubscription(subscription.channel) === subscription) {
    client.removeSubscription(subscription);
  }
  subscription = undefined;
  page.unsubscribe.disabled = true;
}

async function publish(): Promise<void> {
  let payload: unknown;
  try {
    payload = JSON.parse(page.payload.value);
  } catch {
    page.payload.setAttribute('aria-invalid', 'true');
    page.publishResult.value = 'not valid JSON';
    return;
  }
  page.payload.removeAttribute('aria-invalid');
  try {
    await client?.publish(page.channel.value, payload);
    page.publishResult.value = 'published';
  } catch (error) {
    const { code, message } = error as { code: number; message: string };
    page.publishResult.value = `${code} ${message}`;
  }
}

function showState(state: State): void {
  page.state.textContent = state;
  page.state.dataset.state = state;
  page.kill.disabled = state !== State.Connected;
  page.publish.disabled = state !== State.Connected;
  page.disconnect.disabled = state === State.Disconnected;
}

function showSubscribed(context: SubscribedContext): void {
  const { wasRecovering, recovered, streamPosition } = context;
  page.offset.textContent = `${streamPosition?.offset ?? '–'}`;
  page.epoch.textContent = streamPosition?.epoch ?? '–';
  page.wasRecovering.textContent = `${wasRecovering}`;
  page.recovered.textContent = `${recovered}`;
  page.recovered.dataset.value = wasRecovering ? `${recovered}` : '';
  page.caughtUp.textContent = `${caughtUp.size}`;
  const lost = wasRecovering && !recovered;
  const outcome = lost ? 'not recovered: the application must reload its state' : recovered ? `recovered, ${caughtUp.size} caught up` : 'from now on';
  events.add({ tag: 'subscribed', text: `${context.channel}: ${outcome}`, kind: lost ? 'bad' : 'good' });
}

function showPublication({ data, offset, channel }: PublicationContext): void {
  if (offset) page.offset.textContent = `${offset}`;
  const late = offset !== undefined && caughtUp.delete(offset);
  messages.add({
    tag: offset ? `#${offset}` : channel,
    text: JSON.stringify(data),
    kind: late ? 'recovered' : undefined,
  });
}

function showCurl(): void {
  page.curl.textContent = curlLine(location.origin, apiKey, page.channel.value, page.payload.value);
}

async function prefill(): Promise<void> {
  const url = new URL('/connection/websocket', location.href);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  page.url.value = url.href;
  showCurl();
  const response = await fetch('/playground/config.json');
  if (!response.ok) throw new Error(`no token offered: ${response.status}`);
  const config = (await response.json()) as { token?: string; apiKey?: string };
  page.token.value = config.token ?? '';
  apiKey = config.apiKey ?? apiKey;
  showCurl();
}

function onSubmit(id: string, act: () => unknown): void {
  element<HTMLFormElement>(id).addEventListener('submit', (event) => {
    event.preventDefault();
    act();
  });
}

onSubmit('connect-form', connect);
onSubmit('subscribe-form', subscribe);
onSubmit('publish-form', publish);
page.disconnect.addEventListener('click', () => client?.disconnect());
page.unsubscribe.addEventListener('click', drop);
page.kill.addEventListener('click', () => wire.kill());
page.hold.addEventListener('change', () => wire.hold(page.hold.checked));
page.channel.addEventListener('input', showCurl);
page.payload.addEventListener('input', showCurl);
page.copy.addEventListener('click', async () => {
  await navigator.clipboard.writeText(page.curl.textContent ?? '');
  page.copy.textContent = 'Copied';
});

prefill().catch((error: Error) => events.add({ tag: 'notice', text: error.message, kind: 'bad' }));
