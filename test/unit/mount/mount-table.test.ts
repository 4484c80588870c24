import { describe, expect, test } from "vitest";
import { mountAt, mountOf, parseMountTable, podfsMountpoints, readMountTable } from "../../../src/mount/mount-table.js";

const TABLE = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid,nodev - proc proc rw
40 22 0:50 / /work\\040space rw,nosuid shared:5 master:1 - fuse.podfs s3://bucket/a rw,user_id=0
41 22 0:51 / /data ro - nfs4 server:/export ro
42 41 0:52 / /data rw - fuse.podfs /mnt/store rw
43 22 0:53 / /mnt/\xc3\xa9t\xc3\xa9 rw - tmpfs tmpfs rw
`;

describe("the mount table", () => {
  const table = parseMountTable(TABLE);

  test("is read with optional fields, blanks and bytes that are not ASCII", () => {
    expect(table).toHaveLength(6);
    expect(table[2]).toEqual({
      mountpoint: "/work space",
      type: "fuse.podfs",
      source: "s3://bucket/a",
      options: ["rw", "nosuid"],
    });
    expect(table[5]?.mountpoint).toBe("/mnt/été");
  });

  test("finds the topmost mount at a place, and the mount a path lies in", () => {
    expect(mountAt(table, "/data")?.type).toBe("fuse.podfs");
    expect(mountAt(table, "/data/x")).toBeUndefined();
    expect(mountOf(table, "/data/x/y")?.source).toBe("/mnt/store");
    expect(mountOf(table, "/database")?.type).toBe("ext4");
    expect(mountOf(table, "/")?.type).toBe("ext4");
  });

  test("lists what podfs has mounted", () => {
    expect(podfsMountpoints(table)).toEqual(["/work space", "/data"]);
  });

  test("of this machine can be read", async () => {
    expect(mountAt(await readMountTable(), "/proc")?.type).toBe("proc");
  });
});
