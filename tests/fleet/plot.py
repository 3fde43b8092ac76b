"""docs/fleet.svg: the share of the fleet that is ready, over time."""

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 78, 262, 60, 64
X_MAX = 900.0  # seconds
POINTS = 120
LINES = (  # key, which of (result, least), words, colour, dashes
    ("higher-30", 0, "holdfast, paid tier (1,000 calls/s)", "#2e7d32", ""),
    ("shipped", 1, "least possible with 40 calls/s", "#8a8f98", "5 4"),
    ("shipped", 0, "holdfast", "#1668b8", ""),
    ("full", 0, "full jitter for each call alone", "#c77700", ""),
    ("first", 0, "runs of 30 s with 8 tries", "#b3261e", ""),
)


def x_of(seconds):
    return LEFT + (WIDTH - LEFT - RIGHT) * min(seconds, X_MAX) / X_MAX


def y_of(share):
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share


def curve(result):
    """(seconds, share) of what is ready, thinned."""
    n = result.n_instances
    ready = [t for t in result.ready if t <= X_MAX]
    step = max(1, len(ready) // POINTS)
    points = [(0.0, 0.0)] + [(ready[i], (i + 1) / n) for i in range(0, len(ready), step)]
    points.append((ready[-1], len(ready) / n) if ready else (0.0, 0.0))
    return points + [(X_MAX, len(ready) / n)]


def text(x, y, words, **attributes):
    more = "".join(f' {k.replace("_", "-")}="{v}"' for k, v in attributes.items())
    return f'<text x="{x:.0f}" y="{y:.0f}"{more}>{words}</text>'


def grid():
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    yield (f'<rect x="{x_of(0):.0f}" y="{TOP}" width="{x_of(60) - x_of(0):.0f}" '
           f'height="{bottom - TOP}" fill="#eef2f7"/>')
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = y_of(share)
        yield f'<path d="M{LEFT} {y:.0f}H{right}" stroke="#dfe3e8"/>'
        yield text(LEFT - 10, y + 4, f"{share:.0%}", text_anchor="end")
    for seconds in range(0, int(X_MAX) + 1, 150):
        x = x_of(seconds)
        yield f'<path d="M{x:.0f} {bottom}v5" stroke="#57606a"/>'
        yield text(x, bottom + 20, f"{seconds}", text_anchor="middle")
    yield f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="#57606a"/>'
    yield text((LEFT + right) / 2, bottom + 44, "seconds since the first boot", text_anchor="middle")
    middle = (TOP + bottom) / 2
    yield (f'<text x="22" y="{middle:.0f}" text-anchor="middle" transform="rotate(-90 22 {middle:.0f})">'
           "instances that have all their secrets</text>")
    yield text(x_of(30), TOP - 8, "all boot", text_anchor="middle", font_size=11, fill="#57606a")


def legend(labels, notes):
    left = WIDTH - RIGHT + 18
    for i, (words, colour, dashes) in enumerate(labels):
        y = TOP + 10 + 24 * i
        yield (f'<path d="M{left} {y}h24" stroke="{colour}" stroke-width="2.2" '
               f'stroke-dasharray="{dashes}"/>')
        yield text(left + 32, y + 4, words)
    for i, words in enumerate(notes):
        yield text(left, TOP + 10 + 24 * len(labels) + 26 + 17 * i, words, fill="#57606a", font_size=11)


def draw(results):
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12" fill="#24292f">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
           text(LEFT, 26, "10,000 instances boot in a minute, with 30 secrets each: how many are ready, and when",
                font_size=14, font_weight="bold"), *grid()]
    labels = []
    for key, which, words, colour, dashes in LINES:
        path = "L".join(f"{x_of(t):.1f} {y_of(s):.1f}" for t, s in curve(results[key][which]))
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.2" '
                   f'stroke-dasharray="{dashes}" stroke-linejoin="round"/>')
        labels.append((words, colour, dashes))
    notes = ("Parameter Store by name, ten in a call;",
             "40 calls/s for the whole account, but",
             "for the paid tier.",
             "",
             "Not in the picture: one call for each",
             f"secret, all ready after {results['singles-30'][0].all_ready:,.0f} s.")
    return "\n".join([*out, *legend(labels, notes), "</svg>", ""])
