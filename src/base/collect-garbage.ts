import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

let collect: (() => void) | undefined;

/**
 * Collects this thread's garbage now, in some tens of milliseconds: for a thread that has nothing to do and has just dropped much
 * memory, of which V8 knows too little to begin by itself.
 */
export function collectGarbage(): void {
  if (collect === undefined) {
    // The switch counts for contexts that are made from now on. https://nodejs.org/docs/latest-v20.x/api/v8.html#v8setflagsfromstringflags
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as () => void;
  }
  collect();
}
