import { afterEach, beforeEach, expect, it } from "vitest";
import { ROOT_INO } from "../../../src/base/index.js";
import { FsFixture, nameOf, O_RDWR, USER } from "../../support/fs-fixture.js";

/** What native/fuse/capability_answers.h relies on: a file that open(2) finds instead of making is answered later. */
let fixture: FsFixture;
beforeEach(() => {
  fixture = new FsFixture();
});
afterEach(() => fixture.dispose());

it("an O_CREAT that is answered at once is about a new file", async () => {
  const make = () => fixture.fs.create(USER, ROOT_INO, nameOf("f"), 0o644, O_RDWR);
  const made = make();
  expect(made).not.toBeInstanceOf(Promise);
  const { attributes } = await made;
  fixture.fs.setXattr(USER, attributes.ino, nameOf("security.capability"), new Uint8Array(20), 0);
  const found = make();
  expect(found).toBeInstanceOf(Promise);
  expect((await found).attributes.ino).toBe(attributes.ino);
});

it("an attribute that is being set is set when the call returns", () => {
  const { ino } = fixture.fs.makeNode(USER, ROOT_INO, nameOf("f"), 0o100644, 0);
  expect(fixture.fs.setXattr(USER, ino, nameOf("security.capability"), new Uint8Array(20), 0)).toBeUndefined();
  expect(fixture.fs.getXattr(ino, nameOf("security.capability"))).toHaveLength(20);
});
