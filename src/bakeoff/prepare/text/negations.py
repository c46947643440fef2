"""Words that turn a sentence into its opposite, in the languages of the stop word lists: never noise, so kept."""

__all__ = ["NEGATIONS", "NEGATION_WORD"]

NEGATIONS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "arabic": "لا لم لن ليس ليست غير بدون ما",
        "bulgarian": "не няма без никога нито нищо никой",
        "catalan": "no mai cap sense ni gens res ningú",
        "chinese": "不 没 沒 非 无 無 未 别 別 没有 沒有 不是 不会 不能 不要 从不",
        "czech": "ne není nikdy bez ani nic nikdo žádný nejsem nejsou nemá",
        "danish": "ikke ingen intet aldrig uden hverken",
        "dutch": "niet geen nooit zonder noch niets niemand nergens",
        "english": "not no nor never none neither nobody nothing nowhere without cannot can't don't doesn't didn't "
        "isn't aren't wasn't weren't won't wouldn't shouldn't couldn't hasn't haven't hadn't mustn't needn't mightn't "
        "shan't ain't cant dont against hardly barely",
        "finnish": "ei en et emme ette eivät älä ilman koskaan eikä",
        "french": "ne n pas non jamais sans ni aucun aucune rien personne plus point guère",
        "german": "nicht kein keine keinen keinem keiner keines nie niemals ohne weder noch nichts niemand nein",
        "greek": "δεν μη μην όχι ποτέ χωρίς ούτε τίποτα",
        "hebrew": "לא אין בלי אף מעולם",
        "hindi": "नहीं न मत बिना ना",
        "hungarian": "nem ne sem soha nincs nélkül semmi senki nincsenek",
        "indonesian": "tidak bukan tak jangan belum tanpa tiada",
        "italian": "non no mai senza né nessuno nessuna niente nulla",
        "japanese": "ない ません ず ぬ なし なく なかった",
        "korean": "안 못 아니 없 없다 않 않다 말고",
        "malaysian": "tidak bukan tak jangan belum tanpa tiada",
        "norwegian": "ikke ingen intet aldri uten verken ikkje",
        "persian": "نه نیست هیچ بدون هرگز",
        "polish": "nie nigdy bez ani nic nikt żaden żadna",
        "portuguese": "não nunca sem nem nenhum nenhuma nada ninguém jamais",
        "romanian": "nu niciodată fără nici nimic nimeni",
        "russian": "не нет ни никогда без ничего никто нельзя",
        "slovak": "nie nikdy bez ani nič nikto žiadny nemá",
        "spanish": "no nunca sin ni ningún ninguna ninguno nada nadie jamás tampoco",
        "swedish": "inte ingen inget aldrig utan ej varken",
        "turkish": "değil yok hayır asla hiç hiçbir ne",
        "ukrainian": "не ні ніколи без нічого ніхто немає",
        "vietnamese": "không chẳng chưa đừng chả",
    }.items()
}
NEGATION_WORD = r"n['’]t|" + "|".join(sorted({word for words in NEGATIONS.values() for word in words if len(word) > 1}))
"""A pattern (Rust syntax) of any of them; words of one letter would be found in too much."""
