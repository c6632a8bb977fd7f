-- klines_final: each kline once, as it was last.
--
-- A row of the table is a kline as it was pushed, again and again while its
-- interval lasted, and by each connection. Here is one row for each source,
-- market, interval and open_at. Columns are those of the table klines, then
-- source and date.
-- Last is what the venue calls closed; then what has the latest ts_event, for
-- of two runs the one that is behind receives what is older later; where a feed
-- sends no ts_event, the largest volume, which only grows; then what was
-- received last. A kline whose last push was missed is here as far as it came:
-- is_closed is then not true.
-- Conditions on source, market, interval and open_at make it faster.
SELECT *
FROM klines
QUALIFY row_number() OVER (
    PARTITION BY source, market, "interval", open_at
    ORDER BY
        coalesce(is_closed, false) DESC,
        ts_event DESC NULLS LAST,
        volume DESC NULLS LAST,
        ts_recv DESC, conn DESC, seq DESC, idx DESC
) = 1
