// A backend that the server asks about its clients: plain HTTP, with answers that the test decides.

import { createServer } from 'node:http';

export class Backend {
  /** What was asked, in order of arrival: path, headers, body. */
  asked = [];
  #answers = {};
  #server;

  static async start(t, answers = {}) {
    const backend = new Backend();
    backend.#answers = answers;
    backend.#server = createServer((request, response) => backend.#serve(request, response));
    await new Promise((resolve) => backend.#server.listen(0, '127.0.0.1', resolve));
    t.after(() => backend.stop());
    return backend;
  }

  /** What is said at a path from now on: a value, a function of the question, or an object `{status, text}`. */
  answer(path, answer) {
    this.#answers[path] = answer;
  }

  /** What was asked at this path. */
  at(path) {
    return this.asked.filter((question) => question.path === path);
  }

  url(path) {
    return `http://127.0.0.1:${this.#server.address().port}${path}`;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const question = { path: request.url, headers: request.headers, body: JSON.parse(Buffer.concat(chunks)) };
    this.asked.push(question);
    const answer = this.#answers[request.url];
    const said = await (typeof answer === 'function' ? answer(question.body) : answer);
    if (said?.status) {
      response.writeHead(said.status).end(said.text ?? '');
    } else {
      response.writeHead(200, { 'Content-Type': 'application/json' }).end(JSON.stringify(said ?? {}));
    }
  }
}
