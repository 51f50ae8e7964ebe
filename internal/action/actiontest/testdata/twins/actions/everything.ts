import { action } from "galley";

export default action("everything", (tx, input) => {
  const parent = tx.db.boxes.insert({ label: "parent", open: false, tags: [] });
  const box = tx.db.boxes.insert({
    label: input.label, about: input.about, share: input.share, open: true, at: input.at,
    day: input.day, span: input.span, kind: input.kind, tags: input.tags, data: input.data,
    parent: parent.id,
  });
  const changed = tx.db.boxes.update(box, { count: box.count + 1, about: null });
  return {
    box: changed.id, about: changed.about, share: changed.share!, at: changed.at!, day: changed.day,
    span: changed.span!, kind: changed.kind, tags: changed.tags, data: changed.data, changed: changed.count,
  };
});
