import { assert, type HandleId } from "../../base/index.js";

/** The package takes 32 bits with a sign, and 0 for none. */
const NUMBER_MAX = 0x7fff_ffff;

/** Open handles by the small numbers the package knows them by. */
export class HandleNumbers {
  readonly #handles = new Map<number, HandleId>();
  #last = 0;

  add(handle: HandleId): number {
    do this.#last = this.#last === NUMBER_MAX ? 1 : this.#last + 1;
    while (this.#handles.has(this.#last));
    this.#handles.set(this.#last, handle);
    return this.#last;
  }

  get(number: number): HandleId {
    const handle = this.#handles.get(number);
    assert(handle !== undefined, `libfuse uses handle ${number}, which is not open`);
    return handle;
  }

  take(number: number): HandleId {
    const handle = this.get(number);
    this.#handles.delete(number);
    return handle;
  }

  /** All of them, which are none afterwards. */
  takeAll(): readonly HandleId[] {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    return handles;
  }
}
