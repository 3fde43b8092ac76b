"""docs/fleet.svg: the share of the fleet that is ready, over time."""

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 210, 46, 50
X_MAX = 900.0  # seconds
POINTS = 120
LINES = (  # key, which of (result, least), words, colour, dashes
    ("shipped", 1, "least possible", "#8a8f98", "5 4"),
    ("shipped", 0, "holdfast", "#1668b8", ""),
    ("full", 0, "jitter for each call", "#c77700", ""),
    ("first", 0, "runs of 30 s, 8 tries", "#b3261e", ""),
    ("higher-30", 0, "holdfast, higher tier", "#2e7d32", ""),
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
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = y_of(share)
        yield f'<path d="M{LEFT} {y:.0f}H{WIDTH - RIGHT}" stroke="#dfe3e8"/>'
        yield text(LEFT - 8, y + 4, f"{share:.0%}", text_anchor="end")
    for seconds in range(0, int(X_MAX) + 1, 150):
        yield text(x_of(seconds), HEIGHT - BOTTOM + 20, f"{seconds} s", text_anchor="middle")
    yield (f'<rect x="{x_of(0):.0f}" y="{TOP}" width="{x_of(60) - x_of(0):.0f}" '
           f'height="{HEIGHT - TOP - BOTTOM}" fill="#eef2f7"/>')
    yield text(x_of(30), TOP + 14, "boots", text_anchor="middle", font_size=11)


def draw(results):
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12" fill="#24292f">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
           text(LEFT, 24, "10,000 instances with 30 secrets each, 40 calls a second: how many are ready",
                font_size=14, font_weight="bold"), *grid()]
    labels = []
    for key, which, words, colour, dashes in LINES:
        points = curve(results[key][which])
        path = "L".join(f"{x_of(t):.1f} {y_of(s):.1f}" for t, s in points)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2.2" '
                   f'stroke-dasharray="{dashes}" stroke-linejoin="round"/>')
        labels.append((words, colour, dashes))
    for i, (words, colour, dashes) in enumerate(labels):
        y = TOP + 30 + 24 * i
        out.append(f'<path d="M{WIDTH - RIGHT + 18} {y}h26" stroke="{colour}" stroke-width="2.2" '
                   f'stroke-dasharray="{dashes}"/>')
        out.append(text(WIDTH - RIGHT + 52, y + 4, words))
    return "\n".join([*out, "</svg>", ""])
