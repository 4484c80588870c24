import { readFileSync } from "node:fs";

const PACKAGE = new URL("../../package.json", import.meta.url);

/** The version of this program, as package.json has it. */
export const PODFS_VERSION: string = (JSON.parse(readFileSync(PACKAGE, "utf8")) as { readonly version: string })
  .version;
