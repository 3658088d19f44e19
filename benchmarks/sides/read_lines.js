// Stands in for `readLines` of Deno's standard library where that cannot be downloaded. Reads in larger pieces than the
// original, so it does not make the interpreter slower than it is.
const LINE_END = 10;

export async function* readLines(reader) {
  const buffer = new Uint8Array(1 << 16);
  const decoder = new TextDecoder();
  let pieces = [];
  for (let size; (size = await reader.read(buffer)) !== null;) {
    let start = 0;
    for (let end; (end = buffer.subarray(0, size).indexOf(LINE_END, start)) >= 0; start = end + 1) {
      pieces.push(decoder.decode(buffer.subarray(start, end)));
      yield pieces.join("");
      pieces = [];
    }
    if (start < size) pieces.push(decoder.decode(buffer.subarray(start, size), { stream: true }));
  }
  if (pieces.length) yield pieces.join("");
}
