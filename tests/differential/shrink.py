"""Cuts a script that shows a difference down to the steps that it takes."""

import copy


def holders_at_most(script, most):
    """Whether the interfering clients leave a link free: a script that was cut may not."""
    holding = set()
    for step in script["steps"]:
        if step[0] != "~" or not isinstance(step[2], str):
            continue
        if step[2].startswith("BEGIN"):
            holding.add(step[1])
        elif step[2] in ("COMMIT", "ROLLBACK"):
            holding.discard(step[1])
        elif len(holding - {step[1]}) >= most:
            return False
        if len(holding) > most:
            return False
    return True


def shrink_list(items, still_differs):
    """The list with whatever can be left out left out, run by run, then one by one."""
    size = max(len(items) // 2, 1)
    while size:
        start = len(items) - size
        while start >= 0:
            shorter = items[:start] + items[start + size :]
            if still_differs(shorter):
                items = shorter
            start -= size
        size //= 2
    return items


def shrink(script, differs):
    """`differs(script)` says whether a script still shows the difference."""
    script = copy.deepcopy(script)

    def with_steps(steps):
        shorter = {**script, "steps": steps}
        return holders_at_most(shorter, 2) and differs(shorter)

    script["steps"] = shrink_list(script["steps"], with_steps)
    if script["params"] and differs({**script, "params": {}}):
        script["params"] = {}
    for number, step in enumerate(script["steps"]):
        if not isinstance(step[0], str) and len(step) > 1:

            def with_messages(messages, number=number):
                steps = script["steps"]
                shorter = {**script, "steps": [*steps[:number], messages, *steps[number + 1 :]]}
                return bool(messages) and differs(shorter)

            script["steps"][number] = shrink_list(step, with_messages)
    for step in script["steps"]:
        if not isinstance(step[0], str) and step[0][0] == "Q" and ";" in step[0][1]:
            shrink_query(script, step[0], differs)
    script["steps"] = shrink_list(script["steps"], with_steps)
    return script


def shrink_query(script, message, differs):
    """Leaves out statements of a query of several."""

    def with_parts(parts):
        before, message[1] = message[1], ";".join(parts)
        if differs(script):
            return True
        message[1] = before
        return False

    shrink_list(message[1].split(";"), with_parts)
