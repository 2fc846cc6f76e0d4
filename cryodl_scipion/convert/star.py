# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the STAR files that the engine writes."""


def readColumns(path, columns, kinds, table=''):
    """[(value, ...)] of a table's rows, in the file's order.

    columns: names without underscore, in the order wanted. kinds: str or float, one for each. table: what follows `data_`.
    Raises FileNotFoundError, or ValueError that names the file and the line without these columns.
    """
    names, rows, inside = [], [], False
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file, 1):
            words = line.split()
            if not words or words[0].startswith('#') or words[0] == 'loop_':
                continue
            if words[0].startswith('data_'):
                names, inside = [], words[0] == 'data_' + table
            elif words[0].startswith('_'):
                names.append(words[0][1:])
            elif inside:
                rows.append(_values(path, number, words, names, columns, kinds))
    return rows


def _values(path, number, words, names, columns, kinds):
    try:
        return tuple(kind(words[names.index(column)]) for column, kind in zip(columns, kinds))
    except (ValueError, IndexError):
        raise ValueError("%s, line %d: the columns %s are needed." % (path, number, ', '.join(columns))) from None
