// The WebSocket class handed to the SDK: a browser socket that reports every frame and can be taken away.
// Knows nothing of the protocol above it.

export type Direction = 'in' | 'out';

/** Something seen on the wire: a frame's text, or a socket's end. */
export type WireEvent =
  | { kind: 'frame'; direction: Direction; text: string }
  | { kind: 'close'; code: number; reason: string };

export class Wire {
  private current: WebSocket | undefined;
  private held = false;

  constructor(private readonly report: (event: WireEvent) => void) {}

  /** Closes the socket under the SDK, which is not told why and so behaves as after a network failure. */
  kill(): void {
    this.current?.close();
  }

  /** While held, a new socket is closed before its handshake: the server cannot be reached. */
  hold(down: boolean): void {
    this.held = down;
  }

  /** The constructor for the SDK's `websocket` option. */
  socketClass(): typeof WebSocket {
    const wire = this;
    return class extends WebSocket {
      constructor(url: string | URL, protocols?: string | string[]) {
        super(url, protocols);
        wire.current = this;
        // Registered before the SDK sets its own callbacks, so a frame is reported before it is acted upon.
        this.addEventListener('message', (event) => wire.frame('in', event.data));
        this.addEventListener('close', (event) =>
          wire.report({ kind: 'close', code: event.code, reason: event.reason }),
        );
        if (wire.held) this.close();
      }

      override send(frame: string | ArrayBufferLike | Blob | ArrayBufferView<ArrayBuffer>): void {
        wire.frame('out', frame);
        super.send(frame as string);
      }
    };
  }

  private frame(direction: Direction, frame: unknown): void {
    const text = typeof frame === 'string' ? frame : '(binary frame)';
    this.report({ kind: 'frame', direction, text });
  }
}
