-- outages: each gap once, with what the venue said of that time.
--
-- Columns are those of the view gaps, source and date last, and before these
--   explained_by     interval: the venue named a time, and the gap lies in it
--                    or overlaps it. notice: it said something at most five
--                    minutes before the gap, or during it. null: nothing that
--                    it said fits, and all of what follows is null.
--   status_source, status_ts_recv, status_kind, status_state, status_title,
--   status_url, status_starts_at, status_ends_at
--                    the message that fits best, as in the table status.
--   status_messages  how many fit, never null; all of them are in status.
-- A message concerns the feeds of its venue, which is what the name of a source
-- has before its first _, and of their markets those that it names, or all.
-- Best is a time that covers the whole gap, then one that overlaps it, then a
-- notice; of several the newest. A message is overruled by a newer one of the
-- same kind and title with the same beginning, and by one that named another
-- beginning before the first was reached. What was canceled explains nothing.
-- Notices are messages without a beginning whose kind is upgrade, maintenance
-- or notice. A time without an end counts for five minutes.
-- Nothing explains a gap that this machine made, as its reason tells. That a
-- message fits does not prove that it tells the cause.
WITH said AS (
    SELECT
        source, ts_recv, kind, state, title, url, starts_at, ends_at,
        split_part(source, '_', 1) AS venue,
        CASE WHEN market IS NULL THEN coalesce(markets, []) ELSE [market] END
            AS about,
        -- A venue says its last word again to whoever subscribes.
        least(ts_recv, coalesce(ts_event, ts_recv)) AS said_at
    FROM status
    WHERE starts_at IS NOT NULL OR kind IN ('upgrade', 'maintenance', 'notice')
), newest AS (
    SELECT *, coalesce(starts_at, said_at) AS begins
    FROM said
    QUALIFY row_number() OVER (
        PARTITION BY source, kind, title, coalesce(starts_at, said_at), about
        ORDER BY said_at DESC, ts_recv DESC
    ) = 1
), valid AS (
    SELECT
        * EXCLUDE (about),
        CASE WHEN len(about) > 0 THEN about END AS about,
        coalesce(ends_at, make_timestamp_ns(epoch_ns(begins) + 300000000000)) AS ends
    FROM newest
    QUALIFY
        lower(coalesce(state, '')) NOT IN ('canceled', 'cancelled')
        AND coalesce(
            starts_at IS NULL OR title IS NULL OR starts_at < lead(said_at) OVER (
                PARTITION BY source, kind, title, starts_at IS NULL
                ORDER BY said_at, ts_recv
            ),
            true
        )
)
SELECT
    gaps.* EXCLUDE (source, date),
    CASE
        WHEN valid.starts_at IS NOT NULL THEN 'interval'
        WHEN valid.source IS NOT NULL THEN 'notice'
    END AS explained_by,
    valid.source AS status_source,
    valid.ts_recv AS status_ts_recv,
    valid.kind AS status_kind,
    valid.state AS status_state,
    valid.title AS status_title,
    valid.url AS status_url,
    valid.starts_at AS status_starts_at,
    valid.ends_at AS status_ends_at,
    count(valid.source) OVER (PARTITION BY gaps.source, gaps.gap_id)
        AS status_messages,
    gaps.source,
    gaps.date
FROM gaps
LEFT JOIN valid
    ON valid.venue = split_part(gaps.source, '_', 1)
    AND gaps.started_at < valid.ends
    AND (gaps.ended_at IS NULL OR valid.begins < gaps.ended_at)
    AND (
        gaps.market IS NULL
        OR valid.about IS NULL
        OR list_contains(valid.about, gaps.market)
    )
    AND gaps.reason NOT IN (
        'process_stopped', 'process_killed', 'journal_damaged', 'backpressure',
        'undecodable', 'disk_full', 'clock_step', 'pruned'
    )
QUALIFY row_number() OVER (
    PARTITION BY gaps.source, gaps.gap_id
    ORDER BY
        valid.starts_at IS NOT NULL DESC,
        valid.begins <= gaps.started_at
            AND coalesce(gaps.ended_at, gaps.started_at) <= valid.ends DESC,
        valid.said_at DESC,
        valid.ts_recv DESC,
        valid.source DESC
) = 1
