// The API call that does what the Publish button does, as a line for a POSIX shell.

export function curlLine(origin: string, key: string, channel: string, payload: string): string {
  const body = `{"channel":${JSON.stringify(channel)},"data":${payload.trim() || 'null'}}`;
  return [
    `curl ${origin}/api/publish`,
    `-H "X-API-Key: ${key}"`,
    `-d ${quoted(body)}`,
  ].join(' \\\n  ');
}

/** Inside single quotes a shell leaves everything alone but the quote itself. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
