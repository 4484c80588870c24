import { type CheckpointHeader, CheckpointParser } from "./checkpoint.js";
import type { KeyValue } from "./checkpoint-block.js";
import type { BlockReader } from "./checkpoint-block-reader.js";
import { truncated } from "./framing.js";

/** A checkpoint being read. */
export interface CheckpointReader<Records> {
  readonly header: CheckpointHeader;
  /** Ends normally only when the whole checkpoint was there. Read once. @throws FormatError of every kind. */
  readonly records: Records;
}

/**
 * Reads a checkpoint from pieces that are at hand, such as those of a local file in a worker. Each record is lent until
 * the next is taken.
 *
 * @throws FormatError of every kind, now or from the records.
 */
export function readCheckpoint(pieces: Iterable<Uint8Array>): CheckpointReader<Generator<KeyValue, void>> {
  const parser = new CheckpointParser();
  const iterator = pieces[Symbol.iterator]();
  let block: BlockReader | undefined;
  while (parser.header === undefined) {
    const { done, value } = iterator.next();
    if (done === true) throw truncated("checkpoint", 0);
    parser.push(value);
    block = parser.next();
  }
  return { header: parser.header, records: records(parser, block, iterator) };
}

function* records(
  parser: CheckpointParser,
  first: BlockReader | undefined,
  iterator: Iterator<Uint8Array>,
): Generator<KeyValue, void> {
  let block = first;
  for (;;) {
    while (block !== undefined) {
      while (block.next()) yield [block.key, block.value];
      block = parser.next();
    }
    const { done, value } = iterator.next();
    if (done === true) break;
    parser.push(value);
    block = parser.next();
  }
  parser.finish();
}

/**
 * Reads a checkpoint from pieces that arrive. Records come in blocks of some thousands, each to be taken whole before the
 * next: awaiting each record would cost more than decoding it.
 *
 * @throws FormatError of every kind, now, from the blocks, or from a block's records.
 */
export async function readCheckpointAsync(
  pieces: AsyncIterable<Uint8Array>,
): Promise<CheckpointReader<AsyncGenerator<BlockReader, void>>> {
  const parser = new CheckpointParser();
  const iterator = pieces[Symbol.asyncIterator]();
  let block: BlockReader | undefined;
  while (parser.header === undefined) {
    const { done, value } = await iterator.next();
    if (done === true) throw truncated("checkpoint", 0);
    parser.push(value);
    block = parser.next();
  }
  return { header: parser.header, records: blocks(parser, block, iterator) };
}

async function* blocks(
  parser: CheckpointParser,
  first: BlockReader | undefined,
  iterator: AsyncIterator<Uint8Array>,
): AsyncGenerator<BlockReader, void> {
  let block = first;
  for (;;) {
    while (block !== undefined) {
      yield block;
      block = parser.next();
    }
    const { done, value } = await iterator.next();
    if (done === true) break;
    parser.push(value);
    block = parser.next();
  }
  parser.finish();
}
