// What happens on the way between nodes and store, whatever the store is.

/** One node's cable to the store is pulled for so long (ms). */
export const cableOut = (ms) => async (stage) => {
  const [network] = stage.networks;
  stage.fault('the cable is out');
  network.pull();
  await stage.calm(ms);
  stage.fault('the cable is in again');
  network.plug();
  await stage.calm(4000);
};

const TROUBLES = {
  'a delay of 50 ms': { delay: 50 },
  'a loss of 3 %': { loss: 0.03 },
  '256 KiB/s': { bytesPerSecond: 256 * 1024 },
  'single bytes': { singles: 48 },
};

/** All lines between nodes and store suffer, one kind of trouble after the other. */
export const troubled = (ms) => async (stage) => {
  for (const [what, trouble] of Object.entries(TROUBLES)) {
    stage.fault(what);
    for (const line of stage.lines) line.shape(trouble);
    await stage.calm(ms);
    for (const line of stage.lines) line.mend();
    await stage.calm(1000);
  }
};

/** One node's line is so narrow for so long (ms) that the store has to give it up. */
export const overflowing = (ms) => async (stage) => {
  const line = stage.random.fork('overflowing').pick(stage.lines);
  line.shape({ bytesPerSecond: 64 * 1024 });
  await stage.calm(ms);
  stage.fault('the line is wide again');
  line.mend();
  await stage.calm(3000);
};

/** One node's line is reset, refused, and half open, again and again. */
export const torn = (times) => async (stage) => {
  const random = stage.random.fork('torn');
  for (let n = 0; n < times; n++) {
    const line = random.pick(stage.lines);
    const how = ['reset', 'refuse', 'die'][n % 3];
    stage.fault(`a line: ${how}`);
    line[how]();
    await stage.calm(random.between(500, how === 'die' ? 6000 : 2500));
    line.mend();
    await stage.calm(2500);
  }
};
