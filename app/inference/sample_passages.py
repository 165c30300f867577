"""Texts that a numeric path is tried on."""

from __future__ import annotations

# Short texts, figures, code, other scripts, nothing at all.
ODD = (
    "",
    "What was the net revenue of the third quarter?",
    "yes",
    "E = mc², π ≈ 3.14159, 20 °C, ½ cup, № 5",
    "Wie lange gilt die Garantie für gebrauchte Geräte?",
    "日本語の文章も埋め込まれます。",
    "Ответ находится на странице сорок два.",
    "| Year | Revenue | Net income |\n| 2019 | $1,204.5 | $88.1 |\n| 2020 | $1,377.0 | $(12.4) |",
    "def area(radius):\n    return 3.14159 * radius ** 2\n\nprint(area(2))",
)

# Ordinary sentences and paragraphs of several subjects, up to the whole window.
PROSE = (
    "The cell membrane separates the interior of a cell from its surroundings and decides what may pass through it.",
    "Pursuant to section 4(b), the lessee shall give ninety days' written notice before vacating the premises.",
    "Preheat the oven to 180 degrees, butter the tin, and fold the egg whites into the batter without haste.",
    (
        "Mice that lacked the receptor gained less weight on a high-fat diet than their littermates (p < 0.01, n = 24), "
        "which suggests that signalling in adipose tissue is needed for the expansion of fat mass."
    ),
    (
        "The treaty was signed in the spring of 1648 after four years of negotiation in two towns; it ended thirty years of "
        "war, redrew the borders of the empire, and left each ruler to settle the religion of the land."
    ),
    (
        "Our operating margin fell by 240 basis points, chiefly through higher freight and raw material costs, which price "
        "increases offset only in part. We expect the pressure to ease in the second half of the fiscal year."
    ),
    (
        "To reset the device, hold the power button for ten seconds until the light turns amber, release it, wait for the "
        "tone, and then hold it again for two seconds. All settings but the network password are kept."
    ),
    "Sonnets of this period turn, usually at the ninth line, from a complaint to its answer. " * 6,
    "Randomised trials of the vaccine enrolled adults aged 18 to 75 at 44 sites in nine countries. The primary endpoint "
    "was laboratory-confirmed infection at least fourteen days after the second dose; secondary endpoints were severe "
    "disease, hospital admission and death. Adverse events were recorded in diaries for seven days. " * 4,
    "Interest is accrued daily on the outstanding principal at the reference rate plus a margin of 1.75 per cent, and is "
    "payable quarterly in arrears. Any amount not paid when due bears interest at a rate two points higher. " * 5,
    "Glaciers move by the deformation of ice and by sliding over their beds. Where meltwater reaches the bed, sliding "
    "grows, and with it the flux of ice to the sea; the largest ice streams move several kilometres a year. " * 5,
)

VARIED = (*ODD, *PROSE)
