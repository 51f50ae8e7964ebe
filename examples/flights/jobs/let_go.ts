import { job } from "galley";

export default job("let_go", async (job, { seat: id }) => {
  await job.sleep("hold", "5m");
  await job.transaction("free", (tx) => {
    const seat = tx.db.seats.first({ id });
    if (seat?.until && seat.until <= tx.now) tx.db.seats.delete(seat);
  });
});
