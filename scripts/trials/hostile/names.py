"""Names of markets that are none, and would do harm as a path or in a shell."""

from typing import Final


NAMES: Final = (
    *(
        "../../../../tmp/escaped",
        "/etc/passwd",
        "a/b",
        "..",
        "\u0000",
        "a\u0000b",
        "\n\r\t",
    ),
    *(
        "N" * 10_000,
        "\u202eTDSU_CTB",
        "\U0001f4a9_USDT",
        "btc_usdt",
        "BTC_USDT ",
        "\u0131_usdt",
    ),
    *("CON", "a=b", "source=x", "%2e%2e%2f", "'; drop table trades; --", "${HOME}"),
)
