// The example `game`, in browsers: everybody sees the same arena, newcomers at once, and a lost frame is repaired.
// What a page draws is in its `window.game`.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from '../lib/browser.mjs';
import { exampleBinary, Process, scene } from '../lib/example.mjs';
import { freePort } from '../lib/server.mjs';
import { until } from '../lib/wait.mjs';

const EXAMPLE = 'game';

let game;
let origin;
let browser;

async function serve(...options) {
  const address = `127.0.0.1:${await freePort()}`;
  const server = new Process(EXAMPLE, exampleBinary(EXAMPLE), ['--address', address, ...options]);
  await server.answers(`http://${address}/ready`);
  return { server, address, origin: `http://${address}` };
}

before(async () => {
  game = await serve();
  origin = game.origin;
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await game?.server.stop();
});

const act = (name, play) => scene(name, () => ({ browser, origins: [origin, origin.replace('http', 'ws')] }), play);

/** A page whose player is in the arena. */
async function player(device, name) {
  const it = await device(name);
  return entered(await it.open(origin));
}

async function entered(page) {
  await page.waitForFunction(() => window.game?.picture.players.has(window.game.me));
  return page;
}

const me = (page) => page.evaluate(() => window.game.me);

/** Where everybody is, as a page has it: by id, in order. */
const places = (page) =>
  page.evaluate(() => {
    const players = [...window.game.picture.players].map(([id, { x, y, score }]) => [id, { x, y, score }]);
    return Object.fromEntries(players.sort(([a], [b]) => a - b));
  });

/** All pages have the same players at the same places, once nobody moves. Returns them. */
async function agree(...pages) {
  let all;
  await until(async () => {
    all = await Promise.all(pages.map(places));
    return all.every((one) => JSON.stringify(one) === JSON.stringify(all[0]));
  }, 'the same picture everywhere').catch(() => assert.deepEqual(all.slice(1), all.slice(0, -1)));
  return all[0];
}

/** Runs some way by one of two keys, the one that leads to the far wall; gives the distance. */
async function run(page, [forth, back]) {
  const id = await me(page);
  const before = (await places(page))[id];
  const moved = async () => {
    const { x, y } = (await places(page))[id];
    return { x: x - before.x, y: y - before.y };
  };
  const far = ({ x, y }) => Math.abs(x) + Math.abs(y) >= 60;
  const held = before.x < 800 ? forth : back;
  await page.keyboard.down(held);
  await until(async () => far(await moved()), `movement by ${held}`);
  await page.keyboard.up(held);
  await settled(page);
  return moved();
}

/** Nobody moves any more: the same picture some ticks later. */
async function settled(page) {
  await page.evaluate(async () => {
    const { game: it } = window;
    const picture = () => JSON.stringify([...it.picture.players].map(([id, { x, y }]) => [id, x, y]));
    const later = (tick) =>
      new Promise((resolve) => {
        const look = () => (it.picture.tick >= tick ? resolve() : requestAnimationFrame(look));
        look();
      });
    for (let before; before !== picture(); ) {
      before = picture();
      await later(it.picture.tick + 5);
    }
  });
}

act('players see each other move, and keys move only the own one', async (device) => {
  const alice = await player(device, 'alice');
  const bob = await player(device, 'bob');
  const [alicesId, bobsId] = [await me(alice), await me(bob)];
  assert.notEqual(alicesId, bobsId);
  const before = await agree(alice, bob);
  assert.deepEqual(Object.keys(before).map(Number).sort(), [alicesId, bobsId].sort());

  const way = await run(alice, ['ArrowRight', 'ArrowLeft']);
  assert.equal(way.y, 0);
  const between = await agree(alice, bob);
  assert.equal(between[alicesId].x, before[alicesId].x + way.x);
  assert.deepEqual([between[bobsId].x, between[bobsId].y], [before[bobsId].x, before[bobsId].y]);

  await run(bob, ['KeyD', 'KeyA']);
  const end = await agree(alice, bob);
  assert.notEqual(end[bobsId].x, between[bobsId].x);
  assert.deepEqual([end[alicesId].x, end[alicesId].y], [between[alicesId].x, between[alicesId].y]);
});

act('whoever comes late has the whole picture at once, and who leaves is gone', async (device) => {
  const alice = await player(device, 'alice');
  const bob = await player(device, 'bob');
  await run(alice, ['ArrowRight', 'ArrowLeft']);
  await run(bob, ['ArrowRight', 'ArrowLeft']);
  const before = await agree(alice, bob);

  const carol = await device('carol');
  // The first picture, before any change can have added to it.
  await carol.context.addInitScript(() => {
    let game;
    Object.defineProperty(window, 'game', {
      get: () => game,
      set(value) {
        let { picture } = value;
        game = Object.defineProperty(value, 'picture', {
          get: () => picture,
          set(next) {
            const { receive } = next;
            picture = next;
            picture.receive = function first(bytes) {
              const isComplete = receive.call(this, bytes);
              window.first ??= { dots: this.dots.length, players: structuredClone([...this.players]) };
              return isComplete;
            };
          },
        });
      },
    });
  });
  const page = await entered(await carol.open(origin));
  const first = await page.evaluate(() => window.first);
  const found = Object.fromEntries(first.players.map(([id, { x, y, score }]) => [id, { x, y, score }]));
  assert.deepEqual(found, before);
  assert.equal(first.dots, 40);
  assert.equal(Object.keys(await agree(alice, bob, page)).length, 3);

  const gone = await me(page);
  await carol.close();
  await until(async () => !((await places(alice))[gone] || (await places(bob))[gone]), 'end of who left');
  assert.deepEqual(await agree(alice, bob), before);
});

act('a frame that is lost is made good by a keyframe', async (device) => {
  const alice = await player(device, 'alice');
  const it = await device('bob');
  const line = { losing: 0 };
  await it.context.routeWebSocket(/connection/, (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      if (line.losing > 0 && isPush(message)) line.losing -= 1;
      else socket.send(message);
    });
  });
  const bob = await entered(await it.open(origin));
  const repairs = async () => Number(await bob.locator('#repairs').textContent());
  const before = await repairs();
  await alice.keyboard.down('ArrowRight');
  line.losing = 3;
  await until(async () => (await repairs()) > before, 'keyframe');
  await alice.keyboard.up('ArrowRight');
  await settled(alice);
  await agree(alice, bob);
});

/** Whether a frame of the Protobuf protocol begins with a push: a length of one or two bytes, and field 4. */
function isPush(frame) {
  return frame[frame[0] < 0x80 ? 1 : 2] === 0x22;
}

act('who lost the line is gone, and comes back with the whole picture', async (device) => {
  const alice = await player(device, 'alice');
  const it = await device('bob');
  const bob = await entered(await it.open(origin));
  const old = await me(bob);
  await it.offline(true);
  await until(async () => !(old in (await places(alice))), 'end of who lost the line', 20_000);
  await run(alice, ['ArrowRight', 'ArrowLeft']);
  await it.offline(false);
  await until(async () => (await me(bob)) !== old, 'line', 20_000);
  await entered(bob);
  await run(bob, ['ArrowRight', 'ArrowLeft']);
  assert.equal(Object.keys(await agree(alice, bob)).length, 2);
});

act('the lag is shown, and the ticks', async (device) => {
  const page = await player(device, 'alice');
  const number = async (id) => Number(await page.locator(`#${id}`).textContent());
  await until(async () => (await number('round-trip')) > 0, 'round trip');
  await until(async () => (await number('ticks')) >= 10, 'ticks');
  assert.ok((await number('wait')) > 0);
  assert.equal(await number('players'), 1);
});

/** Goes to a dot, first along one axis and then along the other, and looks again where it is. */
async function collect(page) {
  const aim = () =>
    page.evaluate(() => {
      const { picture, me: own } = window.game;
      const { x, y, score } = picture.players.get(own);
      const far = (dot) => Math.abs(dot.x - x) + Math.abs(dot.y - y);
      const [nearest] = [...picture.dots].sort((one, other) => far(one) - far(other));
      return { score, dx: nearest.x - x, dy: nearest.y - y };
    });
  let held = null;
  await until(async () => {
    const { score, dx, dy } = await aim();
    const across = dx < 0 ? 'ArrowLeft' : 'ArrowRight';
    const wanted = Math.abs(dx) > 12 ? across : dy < 0 ? 'ArrowUp' : 'ArrowDown';
    const key = score > 0 ? null : wanted;
    if (key === held) return score > 0;
    if (held) await page.keyboard.up(held);
    if (key) await page.keyboard.down(key);
    held = key;
    return score > 0;
  }, 'dot that is reached', 20_000);
  await settled(page);
}

act('a dot that is reached is counted by everybody', async (device) => {
  const alice = await player(device, 'alice');
  const bob = await player(device, 'bob');
  const id = await me(alice);
  const score = async (page) => (await places(page))[id].score;
  await collect(alice);
  await agree(alice, bob);
  assert.ok((await score(bob)) > 0);
  await until(async () => Number(await alice.locator('#score').textContent()) > 0, 'score on the page');
});

test('a full arena says so, and lets the next one in when somebody leaves', async () => {
  const small = await serve('--places', '1');
  const context = await browser.newContext();
  try {
    const [first, second] = [await context.newPage(), await context.newPage()];
    await first.goto(small.origin);
    await entered(first);
    await second.goto(small.origin);
    await until(async () => /arena is full/.test(await second.locator('#message').textContent()), 'message');
    await first.close();
    await entered(second);
    assert.equal(await second.locator('#message').textContent(), '');
  } finally {
    await context.close();
    await small.server.stop();
  }
});

test('fifty bots play without missing a tick', async () => {
  const url = `ws://${game.address}/connection/websocket?cf_protocol=protobuf`;
  const load = new Process(EXAMPLE, exampleBinary(EXAMPLE), ['load', '--url', url, '--bots', '50', '--seconds', '3']);
  assert.deepEqual(await load.exited, { code: 0, signal: null }, load.output);
  const figure = (name) => Number(load.output.match(new RegExp(`^${name} +([0-9]+)`, 'm'))?.[1]);
  assert.equal(figure('bots'), 50, load.output);
  assert.equal(figure('gaps'), 0, load.output);
  // Half of the 20 ticks in each of 3 s, for each of 50 bots.
  assert.ok(figure('frames') >= 50 * 3 * 10, load.output);
});
