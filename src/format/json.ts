import { FormatError } from "./format-error.js";

/** Members of a JSON object from outside, read one by one with the type they must have. */
export class JsonObject {
  constructor(
    readonly what: string,
    readonly members: Readonly<Record<string, unknown>>,
  ) {}

  /** @throws FormatError malformed unless `text` is a JSON object. */
  static parse(what: string, text: string): JsonObject {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new FormatError("malformed", `${what} is not JSON`, { cause: error });
    }
    return JsonObject.of(what, value);
  }

  static of(what: string, value: unknown): JsonObject {
    if (!isRecord(value)) throw new FormatError("malformed", `${what} is not a JSON object`);
    return new JsonObject(what, value);
  }

  string(name: string): string {
    const value = this.members[name];
    return typeof value === "string" ? value : this.#wrong(name, "a text");
  }

  /** A safe integer of at least 0. */
  integer(name: string): number {
    const value = this.members[name];
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.#wrong(name, "a whole number");
  }

  boolean(name: string): boolean {
    const value = this.members[name];
    return typeof value === "boolean" ? value : this.#wrong(name, "true or false");
  }

  object(name: string): JsonObject {
    return JsonObject.of(`${this.what}: ${name}`, this.members[name]);
  }

  /** Safe integers of at least 0. */
  integers(name: string): number[] {
    return this.#array(name).map((value) =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= 0
        ? value
        : this.#wrong(name, "a list of whole numbers"),
    );
  }

  strings(name: string): string[] {
    return this.#array(name).map((value) => (typeof value === "string" ? value : this.#wrong(name, "a list of texts")));
  }

  objects(name: string): JsonObject[] {
    return this.#array(name).map((value) => JsonObject.of(`${this.what}: ${name}`, value));
  }

  #array(name: string): readonly unknown[] {
    const value = this.members[name];
    return Array.isArray(value) ? value : this.#wrong(name, "a list");
  }

  #wrong(name: string, expected: string): never {
    throw new FormatError("malformed", `${this.what}: ${name} is not ${expected}`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
