// A bounded, newest-last list in the page. Old entries are dropped, so a page left open for a day stays light.

const LIMIT = 200;

export interface Entry {
  /** Short word in front: a direction, an offset, a kind. */
  tag: string;
  text: string;
  /** Style of the entry, e.g. `in`, `out`, `recovered`, `bad`. */
  kind?: string;
}

export class Log {
  constructor(private readonly list: HTMLElement) {}

  add(entry: Entry): void {
    // Follow the end only for a reader who is at the end.
    const atEnd = this.list.scrollHeight - this.list.scrollTop - this.list.clientHeight < 24;
    this.list.append(row(entry));
    while (this.list.children.length > LIMIT) this.list.firstElementChild?.remove();
    if (atEnd) this.list.scrollTop = this.list.scrollHeight;
  }

  clear(): void {
    this.list.replaceChildren();
  }
}

function row(entry: Entry): HTMLElement {
  const item = document.createElement('li');
  if (entry.kind) item.dataset.kind = entry.kind;
  item.append(
    part('time', new Date().toLocaleTimeString([], { hour12: false })),
    part('span', entry.tag),
    part('code', entry.text),
  );
  return item;
}

function part(name: string, text: string): HTMLElement {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
