-- depth_levels: the table depth in its long form, one row for each level.
--
-- A message without levels has no row here; it is in depth. side is bid or
-- ask, level counts from 1 in the order of the wire, which is no order of
-- prices. amount is absolute: 0 removes the level from the book.
-- Both halves are plain scans of depth, so partitions and row groups are
-- pruned in each (a lateral join over the sides would prune nothing).
SELECT
    ts_recv, ts_event, market, conn, seq, idx,
    stream, is_snapshot, first_update_id, last_update_id, origin,
    side, level, entry.price AS price, entry.amount AS amount,
    source, date
FROM (
    SELECT
        *, 'bid' AS side,
        unnest(range(1, len(bids) + 1))::INTEGER AS level,
        unnest(bids) AS entry
    FROM depth
    UNION ALL
    SELECT
        *, 'ask' AS side,
        unnest(range(1, len(asks) + 1))::INTEGER AS level,
        unnest(asks) AS entry
    FROM depth
)
