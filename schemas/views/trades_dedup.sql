-- trades_dedup: each trade once, whatever runs and jobs recorded it.
--
-- A row of the table is a trade as one connection brought it. Where runs of a
-- job overlap, or two jobs record the same market on purpose, or a venue says
-- again what is past, a trade is there more than once; here it is the row that
-- was received first. Columns are those of the table trades, then source and date.
-- Trades are the same if source, market and trade_id are. Where a feed sends no
-- ids, those are the same that agree in market, ts_event, side, price and
-- amount: the first of them on one connection is the first on another, the
-- second the second, and so on. Without ts_event as well, nothing tells trades
-- apart, and every row is here.
-- Conditions on source and market make it faster; one on time alone does not.
SELECT * FROM (
    SELECT *
    FROM trades
    WHERE trade_id IS NOT NULL
    QUALIFY row_number() OVER (
        PARTITION BY source, market, trade_id
        ORDER BY ts_recv, conn, seq, idx
    ) = 1
    UNION ALL
    SELECT * EXCLUDE (turn)
    FROM (
        SELECT
            *,
            row_number() OVER (
                PARTITION BY source, market, ts_event, side, price, amount, conn
                ORDER BY ts_recv, seq, idx
            ) AS turn
        FROM trades
        WHERE trade_id IS NULL AND ts_event IS NOT NULL
    )
    QUALIFY row_number() OVER (
        PARTITION BY source, market, ts_event, side, price, amount, turn
        ORDER BY ts_recv, conn, seq, idx
    ) = 1
    UNION ALL
    SELECT * FROM trades WHERE trade_id IS NULL AND ts_event IS NULL
)
