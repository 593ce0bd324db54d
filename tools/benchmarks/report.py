# SPDX-License-Identifier: MIT
"""What was measured, as a table, as JSON and as a plot."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import time


def machine():
    model, memory = 'unknown processor', 0
    with open('/proc/cpuinfo') as info:
        for line in info:
            if line.startswith('model name'):
                model = line.split(':', 1)[1].strip()
                break
    with open('/proc/meminfo') as info:
        memory = int(info.readline().split()[1]) >> 20
    return '%s, %d processors, %d GiB, Linux %s, %s' % (model, os.cpu_count(), memory, platform.release(),
                                                        time.strftime('%Y-%m-%d'))


def duration(ns):
    for unit, size in (('s', 1e9), ('ms', 1e6), ('us', 1e3)):
        if ns >= size:
            return '%.3g %s' % (ns / size, unit)
    return '%.3g ns' % ns


class Row:
    """Two things measured in turn. The ratio is how many times as fast as OTHER smfs is; LOW and HIGH its quartiles."""

    def __init__(self, name, other, bar, block, ours, theirs):
        self.name, self.other, self.bar, self.block = name, other, bar, block
        self.ours, self.theirs = statistics.median(ours), statistics.median(theirs)
        ratios = sorted(b / a for a, b in zip(ours, theirs))
        self.low, self.ratio, self.high = statistics.quantiles(ratios, n=4, method='inclusive')

    def speed(self, ns):
        if self.block:
            return '%.2f GB/s' % (self.block / ns)
        return duration(ns)

    def line(self):
        bar = '' if self.bar is None else '>= %g %s' % (self.bar, 'ok' if self.ratio >= self.bar else 'MISSED')
        return '%-34s %12s %12s  %-26s %6.2f (%.2f..%.2f)  %s' % (
            self.name, self.speed(self.ours), self.speed(self.theirs), self.other, self.ratio, self.low, self.high, bar)


HEADING = '%-34s %12s %12s  %-26s %6s' % ('', 'smfs', 'other', 'which is', 'ratio (middle half)')


def scale_lines(scale):
    """SCALE: {what: {segments: ns}}."""
    counts = sorted(next(iter(scale.values())))
    yield '%-34s' % 'segments' + ''.join('%12d' % n for n in counts)
    for what, times in scale.items():
        yield '%-34s' % what + ''.join('%12s' % (duration(times[n]) if n in times else '-') for n in counts)


def write_json(path, rows, scale):
    with open(path, 'w') as out:
        json.dump({'machine': machine(), 'rows': [vars(r) for r in rows], 'scale': scale}, out, indent=1)
        out.write('\n')


PLOT = r'''
set terminal svg size 1100,480 font "sans,11" background rgb "white"
set output "{svg}"
set multiplot layout 1,2 title "{machine}" font ",10"
set style fill solid 0.85
set style data boxxyerror
unset key
set lmargin 40
set yrange [{rows}:-1]
set ytics ({tics}) scale 0
set xrange [0:2]
set grid xtics lc rgb "#dddddd"
set title "speed of smfs, the other one = 1\n(line: the middle half of the pairs)"
set arrow 1 from 1, graph 0 to 1, graph 1 nohead lc rgb "#888888" front
plot "{data}" using ($2/2):1:($2/2):(0.35) with boxxyerror lc rgb "#3b76af", \
     "" using 2:1:3:4 with xerrorbars pt -1 lc rgb "#222222"
unset arrow
unset ytics
set ytics auto
set yrange [*:*]
set xrange [8:45000]
set lmargin 9
set logscale xy
set key left top reverse Left samplen 2
set title "time against segments in the system"
set format y "%.0s %cs"
set grid xtics ytics lc rgb "#dddddd"
plot {lines}
'''


def plot(directory, rows, scale):
    """build/bench/bench.svg; its path, or None without gnuplot."""
    if not shutil.which('gnuplot'):
        return None
    svg, data = directory + '/bench.svg', directory + '/ratios.dat'
    shown = [r for r in rows if 0.05 <= r.ratio <= 2 and 'nothing' not in r.other]
    with open(data, 'w') as out:
        for i, r in enumerate(shown):
            out.write('%d %g %g %g\n' % (i, r.ratio, r.low, r.high))
    lines = []
    for i, (what, times) in enumerate(scale.items()):
        path = '%s/scale%d.dat' % (directory, i)
        with open(path, 'w') as out:
            for n in sorted(times):
                out.write('%d %g\n' % (n, times[n] / 1e9))
        lines.append('"%s" with linespoints lw 2 title "%s"' % (path, what))
    tics = ', '.join('"%s : %s" %d' % (r.name, r.other, i) for i, r in enumerate(shown))
    script = PLOT.format(svg=svg, machine=machine(), rows=len(shown), tics=tics, data=data, lines=', '.join(lines))
    subprocess.run(['gnuplot'], input=script, text=True, check=True)
    return svg
