"""The audit: what a site's records show of how it kept the rules, as a data protection officer asks.

    evidence    what one site shows of itself: a site opened here, or the ledger that it exported
    case        that evidence read: documents, agreements by version, what the ledger says was destroyed
    ledger      the chain, its signatures, its times
    retention   what is held, was destroyed, and when it had to be
    exchange    what was exported and loaded, against the agreements
    across      several sites against one another
    findings    what is found, and what each finding means
    judge       all of it together: the verdict, and what it rests on

Guarantees: pure. Everything is worked out from :class:`evidence.Evidence` and a moment, so that any date and any fault
can be tried; a site's own word is never taken where a signature, a digest or a partner's copy can be asked instead.
"""
