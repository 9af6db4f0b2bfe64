import { decode } from "@msgpack/msgpack";
import { describe, expect, it } from "vitest";
import { PendingEdits } from "../src/net/pending";
import { encodeMessage } from "../src/protocol/wire";

describe("encodeMessage", () => {
  it("sends operation ids as integers, however large", () => {
    const bytes = encodeMessage(new PendingEdits(1_764_000_000_000).edit([], "", 0));
    const at = bytes.findIndex((_, i) => new TextDecoder().decode(bytes.subarray(i, i + 4)) === "opid") + 4;
    expect(bytes[at].toString(16), "MessagePack uint 64").toBe("cf");
    expect(decode(bytes)).toMatchObject({ t: "edit", opid: 1_764_000_000_001 });
  });

  it("leaves out what is not set, so that the server's defaults hold", () => {
    expect(decode(encodeMessage({ t: "edit", opid: 1, base_seq: 0, txn: [{ kind: "clear", path: "/A", field: undefined }] }))).toEqual({
      t: "edit", opid: 1, base_seq: 0, txn: [{ kind: "clear", path: "/A" }],
    });
  });
});
