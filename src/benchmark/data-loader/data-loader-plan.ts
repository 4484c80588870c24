import type { BenchmarkOptions, DataLoader } from "../options.js";
import type { BenchmarkPlan } from "../run.js";
import { checkpoint } from "./checkpoint.js";
import { IMAGE_BYTES_MEAN, images } from "./images.js";
import { tokens } from "./tokens.js";

/** A block and a name; and room to spare. */
const FILE_OVERHEAD_BYTES = 8192;
const MARGIN = 1.05;

/** What training does to a directory. */
export function dataLoaderPlan(loader: DataLoader, { sizeBytes, files }: BenchmarkOptions): BenchmarkPlan {
  const imageBytes = files * (IMAGE_BYTES_MEAN + FILE_OVERHEAD_BYTES);
  switch (loader) {
    case "images":
      return { groups: [images], spaceBytes: Math.ceil(imageBytes * MARGIN) };
    case "tokens":
      return { groups: [tokens], spaceBytes: Math.ceil(sizeBytes * MARGIN) };
    case "checkpoint":
      return { groups: [checkpoint], spaceBytes: Math.ceil((imageBytes + sizeBytes) * MARGIN) };
  }
}

/** How many images are so many bytes. */
export function imagesOfSize(sizeBytes: number): number {
  return Math.max(1, Math.round(sizeBytes / IMAGE_BYTES_MEAN));
}
