-- gaps: what is missing, one row for each gap, as it is known now.
--
-- A row of the table is a revision of a gap: open, closed, healed. This view
-- shows the newest revision of each gap_id; gaps_log shows all of them. One
-- that ended stays ended, whatever the clocks of two runs said.
-- Columns are those of the table gaps, then source and date (of the revision).
SELECT *
FROM gaps_log
QUALIFY row_number() OVER (
    PARTITION BY source, gap_id
    ORDER BY ended_at IS NOT NULL DESC, ts_recv DESC, conn DESC, seq DESC, idx DESC
) = 1
