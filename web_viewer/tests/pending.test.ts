import { describe, expect, it } from "vitest";
import { PendingEdits } from "../src/net/pending";

const move = (path: string, x: number) => ({
  txn: [{ kind: "set_field", path, field: "xformOp:translate", value: ["double3", [x, 0, 0]] }],
  matrices: new Map([[path, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, x, 0, 0, 1]]]),
});

describe("PendingEdits", () => {
  it("keeps a dragged prim in place from the drop until the patch of its own edit", () => {
    const pending = new PendingEdits(100);
    const { txn, matrices } = move("/A", 3);
    const edit = pending.edit(txn, "Move A", 7, matrices);
    expect(edit).toMatchObject({ t: "edit", opid: 101, base_seq: 7, label: "Move A" });
    expect(pending.matrix("/A")?.[12]).toBe(3);
    expect(pending.confirm(edit.opid, 9)).toBe(true);
    expect(pending.applied(8)).toEqual([]);
    expect(pending.matrix("/A")?.[12], "someone else's patch is not ours").toBe(3);
    pending.moved((path) => path.replace("/A", "/B"));
    expect([pending.matrix("/A"), pending.matrix("/B")?.[12]], "under its new name").toEqual([undefined, 3]);
    expect(pending.applied(9)).toEqual(["/B"]);
    expect(pending.matrix("/B")).toBeUndefined();
  });

  it("puts a refused edit back at once and leaves others", () => {
    const pending = new PendingEdits(0);
    const first = pending.edit(move("/A", 1).txn, "", 0, move("/A", 1).matrices);
    pending.edit(move("/A", 2).txn, "", 0, move("/A", 2).matrices);
    expect(pending.matrix("/A")?.[12], "the newest wins").toBe(2);
    expect(pending.refuse(first.opid)).toBe(first);
    expect(pending.matrix("/A")?.[12]).toBe(2);
  });

  it("sends again after a reconnect only what was not confirmed, in order, with the same opids", () => {
    const pending = new PendingEdits(0);
    const a = pending.edit(move("/A", 1).txn, "", 0);
    const b = pending.edit(move("/B", 1).txn, "", 0, move("/B", 1).matrices);
    const c = pending.step("undo");
    pending.confirm(b.opid, 4);
    expect(pending.unconfirmed()).toEqual([a, c]);
    expect(pending.confirm(b.opid, 4), "an echo that comes twice counts once").toBe(false);
  });

  it("hands back what was lost when the session is another one", () => {
    const pending = new PendingEdits(0);
    const a = pending.edit(move("/A", 1).txn, "Move A", 0, move("/A", 1).matrices);
    expect(pending.abandon()).toEqual([a]);
    expect(pending.size).toBe(0);
    expect(pending.matrix("/A")).toBeUndefined();
  });
});
