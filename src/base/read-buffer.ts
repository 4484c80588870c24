/**
 * glibc begins a large allocation 16 bytes into a page. Copying there from the page cache, whose bytes begin with a page,
 * takes AMD's Zen 3 four times as long: by `rep movsb`, to a destination 1 to 31 bytes behind the source modulo a page
 * (docs/decisions/0009).
 */
const SHIFT_BYTES = 112;

/** Memory of its own, not zeroed, for large reads of files. */
export function allocateReadBuffer(lengthBytes: number): Buffer {
  return Buffer.allocUnsafeSlow(lengthBytes + SHIFT_BYTES).subarray(SHIFT_BYTES);
}
