/**
 * glibc begins a large allocation 16 bytes into a page. Copying there from the page cache, whose bytes begin with a page,
 * takes AMD's Zen 3 four times as long: by `rep movsb`, to a destination 1 to 31 bytes behind the source modulo a page
 * (docs/decisions/0009).
 */
const SHIFT_BYTES = 112;

/** Memory of its own, not zeroed, for large reads of files, to be dropped afterwards. */
export function allocateReadBuffer(lengthBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(lengthBytes + SHIFT_BYTES).subarray(SHIFT_BYTES);
}

/**
 * The same for memory that is used again and again. V8 collects garbage each time 64 MiB of other memory have been asked for;
 * shared memory it does not count. So whoever drops it does well to {@link collectGarbage}.
 */
export function allocateReusedBuffer(lengthBytes: number): Buffer {
  return Buffer.from(new SharedArrayBuffer(lengthBytes + SHIFT_BYTES), SHIFT_BYTES, lengthBytes);
}
