# ruff: noqa: RUF001 - the marks and the languages themselves
"""Orders that hand a model the words to say, speak to it by its role, or make void what it was told; in many languages.

Handing over words is an imperative (say, write, answer), something that shuts out all else (only, exactly, the words), and a
colon or a quotation. Any of them alone is in manuals, forms and letters every day; so are roles of chats in documentation.
"""

from __future__ import annotations

from app.text.rules import rule

_ROLE = (
    r"(?:ais?|llms?|(?:ai |language |large language |chat )?models?|(?:ai |chat )?assistants?|chat ?bots?|bots?|chatgpt|gpt|claude|gemini|copilot"
    r"|(?:ai )?agents?|summari[sz]ers?|answering (?:system|machine|engine)|answerer|helper)"
)
_ONLY_ROLE = r"(?:ais?|llms?|language models?|ai (?:model|assistant|agent|system)s?|chat ?bots?|bots?|chatgpt|gpt|claude|gemini|copilot|summari[sz]ers?)"
_SAY = r"(?:say|reply|respond|answer|output|print|write|repeat|state|return|tell (?:the |your )?(?:user|reader|asker|caller|human)s?)"
_ANSWER = r"(?:answer|reply|response|output|summary)"
_HAND = r'(?:: ?[^\s]|["«“‘\'])'
_THIS = r"this (?:page|text|document|file|passage|register|article|mail|message)"

# Of the words alone.
WORDS = (
    rule(
        "override",
        "told;written;said ;above;read so far;up to here;until now;until here;before this;so far",
        r"\b(?:everything|anything|all|whatever|all that) (?:that )?(?:you (?:were|have been|had been|have|had) (?:told|given|read|taught)|(?:was|has been|is) (?:said|written|told|stated)|written|said|stated|above)"
        r"[^.!?]{0,60}?\b(?:has expired|expired|(?:is|was|are|were) (?:now |only |just |merely )*(?:void|invalid|obsolete|outdated|cancell?ed|revoked|a test|an example|a joke|a decoy|fake|false|superseded|to be (?:ignored|forgotten|disregarded))"
        r"|no longer (?:applies|counts|holds|valid|matters)|does not (?:count|apply|matter))\b",
        r"\b(?:text|passage|content|message|lines?|paragraphs?|everything|all|part|questions?|instructions?|document) (?:above|before this|so far|up to here|until here|you have read so far) (?:is|was|are|were) "
        r"(?:only |just |merely |all )*(?:a test|a drill|a decoy|a joke|void|fake|a placeholder|to be (?:ignored|forgotten|disregarded)|not real)\b",
        before=60,
        after=110,
    ),
    rule(
        "model",
        "answer that;answer which;answer to be;answer you;must be printed;must be output;must be said;must be given",
        rf"\b(?:real|true|correct|right|only|final|actual|proper) {_ANSWER}(?: to (?:the|every|any|all) questions?)?,? (?:that|which|you)? ?(?:must|should|shall|is to|has to|are to|to) (?:now )?(?:be )?(?:printed|output|said|given|written|returned|told|repeated|shown|print|say|give|write|return|repeat)(?: now| instead)?(?: is|:)",
        before=40,
        after=90,
    ),
    rule(
        "model",
        " for the ; to the ;for any ;to any ;for all ;to all ;for ai;for llm;to ai;to llm",
        rf"\b(?:new|next|real|actual|special|important|urgent|changed) (?:task|orders?|instructions?|note|notice|message|directives?|job|goal|duty) (?:for|to) (?:the |any |all |every |whatever |whichever )?{_ROLE}\b(?: that \w+ this| reading this| of this \w+)?[:.]",
        rf"\b(?:note|notice|message|memo|request|hint|reminder|word) (?:for|to) (?:the |any |all |every |whatever |whichever )?{_ONLY_ROLE}(?: that \w+ this \w+| reading this(?: \w+)?)?: ",
        before=40,
        after=80,
    ),
    rule(
        "model",
        "read this;reads this;reading this;processes this;processing this;summarises this;summarizes this;answers from this;quotes this;parses this",
        rf"\b{_ROLE} (?:that|which|who) (?:reads|is reading|processes|summari[sz]es|answers from|quotes|parses|has read) {_THIS}\b[^.!?]{{0,80}}?\b(?:says?|said|repl(?:y|ies|ied)|answers?|answered|writes?|wrote|prints?|must|shall|should|will|closed|ended|began|opened|begins|ends|outputs?|with the words)\b",
        rf"\b(?:whoever|whatever|whichever|any) (?:{_ROLE} )?(?:reads|processes|summari[sz]es|is reading|reading|processing|summari[sz]ing) {_THIS}[^.!?]{{0,40}}?\b(?:must|shall|should|is to|has to|will) (?:only |now |always |then )?{_SAY}\b",
        rf"\byou,? the {_ROLE},? (?:who |that |which )?(?:are |is )?(?:now )?(?:read|reads|reading|process|processing) {_THIS}",
        before=60,
        after=160,
    ),
    rule(
        "model",
        "of this;of the chat;of the bot;of your system;who runs you;who operates you",
        rf"\b(?:administrator|admin|operator|owner|developer|creator|maker|maintainer|provider)s? of (?:this|the|your) {_ONLY_ROLE}\b[^.!?]{{0,40}}?\b(?:notes?|says?|orders?|instructs?|asks?|wants?|demands?|requires?|requests?|writes?|tells?)\b",
        before=30,
        after=100,
    ),
    rule(
        "model",
        "assistant;llm;chatbot;chat bot; ai ; ai:; ai,; bot:; bot,;gpt;claude;gemini;copilot;summarise;summarize",
        rf"(?:^|[^\w-])(?:{_ONLY_ROLE}|(?:ai )?assistant)[:,] (?:please |always |now |you must |you should |you will |just |only |simply )*{_SAY}\b(?: [^\s.!?]{{1,20}}){{0,4}}? ?(?:: |exactly\b|verbatim\b|nothing but\b|nothing else\b|instead\b|the words?\b|with the\b|that the\b)",
        rf"\b(?:assistant|ai|llm|model|bot|chatbot|gpt|summari[sz]er) (?:directives?|instructions?|notes?|orders?|commands?|messages?|prompts?|hints?|overrides?|tasks?)(?: for this page)?: (?:please |always |now |you must )*{_SAY}\b",
        before=16,
        after=110,
    ),
    rule(
        "model",
        "chatbot;assistant;language model;llm; ai ",
        rf"\byou are (?:an? |the )?(?:\S+ )?{_ONLY_ROLE}[.,;:]? [^!?]{{0,60}}?\b{_SAY} (?:only|exactly|just|with the words|nothing but|: )",
        before=30,
        after=120,
    ),
    # The same in German, French, Spanish, Italian, Portuguese, Dutch, Polish, Czech, Turkish, Swedish, Danish, Norwegian, Romanian,
    # Hungarian, Finnish, Indonesian and Vietnamese; accents are left out.
    rule(
        "override",
        "ignor;vergiss;vergesst;vergessen sie;missacht;oublie;olvid;dimentic;scorda;esquec;vergeet;negeer;zapomn;pomin;zapomen;zabudn;unut; yok say"
        ";gormezden;dikkate alma;glom ;glem ;bortse; uita;felejts;hagyd figyel;unohda;lupakan;abaikan;quen ; bo qua",
        r"\b(?P<a>ignor\w*|zignor\w*|vergiss|vergesst|vergessen sie|missacht\w*|oublie[zr]?|olvid[ae]\w*|dimentica\w*|scorda\w*|esquec[ae]\w*|vergeet|negeer|zapomnij\w*|pomin\w*|zapomen\w*|zabudn\w*|glom|glem|bortse|uita\w*|felejts\w*|hagyd figyelmen|unohda\w*|lupakan|abaikan|quen|bo qua)\b"
        r"[^.!?]{0,60}?\b(?:alles|alle|allem|tout|toutes|tous|todo|todas?|todos|tudo|tutto|tutte|tutti|wszystk\w*|vse|vsechn\w*|vsetk\w*|allt|alla|alt|tot|toate|semua|segala|mindent?|kaikki|tat ca|moi|zuvor|vorher\w*|bisher\w*|oben|obig\w*|precedent\w*|ci-dessus|anterior\w*|wczesniej\w*|poprzedni\w*|predchoz\w*|tidigare|tidligere|sebelum\w*|korabbi\w*|aiem\w*|eerder\w*|vorige)\b"
        r"[^.!?]{0,90}?\b(?:anweisung\w*|instruktion\w*|instruc\w*|instrukc\w*|instruks\w*|instrukt\w*|consigne\w*|istruzion\w*|polece\w*|pokyn\w*|ohje\w*|utasit\w*|perintah|huong dan|chi dan"
        r"|gesagt|(?:t|vous) (?:a|avez|as) ete dit|dicho|dijeron|detto|dito|disseram|powiedzian\w*|receno|sagts|blitt sagt|spus|dikatakan|mondtak|sanottu|verteld|gezegd"
        r"|(?:schreibe?|sage?|antworte|gib|ecri[st]|ecrivez|dis|dites|repond[sz]?|repondez|escrib[ae]|responde|di|scrivi|rispondi|di|escreva|diga|responda|napisz|odpowiedz|powiedz|napis|odpovez|rekni|skriv|svara?|sag|scrie|raspunde|spune|tulis\w*|jawab\w*|katakan|ird|valaszolj?|mondd|kirjoita|vastaa|sano|viet|tra loi|noi|schrijf|antwoord|zeg)\b[^.!?:]{0,30}(?::|\b(?:nur|seulement|uniquement|solo|solamente|soltanto|apenas|somente|tylko|jen|pouze|bara|kun|bare|doar|numai|hanya|csak|vain|chi|alleen|slechts)\b))",
        r"\b(?:once\w*|onceki|yukari\w*|her seyi?|tum|butun|hepsini)\b[^.!?]{0,70}\b(?:unut\w*|yok say\w*|gormezden gel\w*|dikkate alma\w*)\b[^.!?]{0,60}?\b(?:yaz\w*|soyle\w*|cevap\w*|yanit\w*|de|sadece|yalnizca)\b",
        r"\b(?:once\w*|onceki|yukari\w*|tum|butun)\b[^.!?]{0,50}\b(?:talimat|komut|yonerge|kural)\w*\b[^.!?]{0,20}\b(?:unut\w*|yok say\w*|gormezden gel\w*|dikkate alma\w*)",
        before=90,
        after=240,
    ),
)

# Of the text with its punctuation and line breaks: what stands before a colon or a quotation.
MARKS = (
    rule(
        "model",
        ":; \"; '",
        rf"(?:^|[.!?:;,(\n—-]\s{{0,3}}|\b(?:and|then|please|must|must now|now|instead|you|to|should|shall|will|always|just|only|simply)\s)(?:only |just |simply )?{_SAY}\s"
        rf"(?:back |out |to \w+ |with |in full |this |the |these )*(?:only|exactly|nothing but|nothing else (?:but|than)|verbatim|word for word|precisely|exclusively|just)"
        rf"(?: (?:with|this|these|the|following|words?|sentence|line|text|phrase|string|answer|and|nothing|else|as|follows)){{0,6}},?\s?{_HAND}",
        rf"(?:^|[.!?:;,(\n]\s{{0,3}}|\b(?:and|then|please|must|now|instead|you)\s)(?:only |just |simply ){_SAY}(?: (?:with|this|these|the|following|words?|sentence|line|text|phrase|string)){{0,5}},?\s?{_HAND}",
        rf"(?:^|[.!?:;,(\n]\s{{0,3}}|\b(?:and|please|must|instead)\s)(?:reply|respond|answer|output) (?:with )?(?:the|these) (?:words?|sentence|phrase)(?: and nothing else)?,?\s?{_HAND}",
        rf"(?:^|[^\w-])(?:{_ONLY_ROLE}|(?:ai )?assistant)[:,] ?(?:please |always |now |you must |just |only )*{_SAY}(?: \w+){{0,4}}?,?\s?{_HAND}",
        rf"\b(?:end|begin|close|start|finish|open|conclude|preface|complete|replace)\s(?:your|every|each) (?:final |whole )?{_ANSWER}s? (?:with|by)(?: saying)?(?: (?:the|this|these|following|exact|words?|sentence|line|phrase|remark))*,?\s?{_HAND}",
        rf"\b(?:schreibe?n?|sage?|antworte|ecri[st]|ecrivez|dis|dites|reponds?|repondez|escriba?|escribe|responde|di|scrivi|rispondi|escreva|diga|responda|napisz|odpowiedz|powiedz|napis|odpovez|rekni|skriv|svara?|scrie|raspunde|spune|tulis\w*|jawab\w*|katakan|ird|valaszolj?|mondd|kirjoita|vastaa|sano|viet|tra loi|schrijf|antwoord|zeg)(?: \w+){{0,3}}? "
        rf"(?:nur|ausschliesslich|lediglich|einzig|seulement|uniquement|solo|solamente|unicamente|soltanto|apenas|somente|tylko|wylacznie|jen|pouze|bara|endast|kun|bare|doar|numai|hanya|csak|vain|chi|alleen|slechts|enkel)(?: \w+){{0,4}}?\s?{_HAND}",
        rf"\b(?:sadece|yalnizca) (?:\w+ ){{0,3}}?(?:yaz|soyle|cevap ver|yanitla|de)\w*\s?{_HAND}",
        before=110,
        after=3,
    ),
    rule(
        "turn",
        "role",
        r"[\"']?role[\"']?\s?[:=]\s?[\"']?(?:system|developer|assistant)[\"']?,?\s{0,20}[\"']?content[\"']?\s?[:=]\s?[\"'|>]?[^{}\n]{0,80}?"
        rf"\b(?:from now on|ignore|disregard|forget|you must|{_SAY}(?: (?:only|exactly|with|just|the words?|this|back))*(?::|\s?\\?[\"']))",
        before=4,
        after=220,
    ),
)

_SCRIPTS: tuple[tuple[str, str, str, str], ...] = (  # forget; all, before; orders, what was said; write
    ("игнорир;забудь;не обращай", "вс[её]|предыдущ|ранее|раньше|выше|прежн", "инструкци|указани|сказан|говорил", "напиши|пиши|скажи|ответь|отвечай|выведи|повтори"),
    ("ігноруй;забудь;нехтуй", "все|усе|попередн|раніше|вище", "інструкці|вказівк|сказан|казали", "напиши|пиши|скажи|відповідай|виведи"),
    ("αγνόησ;αγνοήσ;ξέχνα;ξέχασ;ξεχάσ", "όλ|ό,τι|προηγούμεν|παραπάνω|πριν", "οδηγί|εντολ|ειπώθηκ", "γράψ|πες|πείτε|απάντησ|απαντήσ"),
    ("تجاهل;انس ;انسَ;إنس ;تناس;انسى", "كل|جميع|سبق|سابق|أعلاه|قبل", "تعليمات|أوامر|قيل|قلته", "اكتب|أكتب|قل|أجب|اجب|رد"),
    ("نادیده;فراموش کن", "همه|هر چه|هرچه|قبلی|بالا|پیش", "دستور|گفته", "بنویس|بگو|پاسخ"),
    ("התעלם;תתעלם;התעלמו;שכח;תשכח", "כל|הקודמ|לעיל|קודם|לפני", "הוראות|נאמר", "כתוב|תכתוב|אמור|ענה|השב"),
    ("भूल;अनदेखा;नज़रअंदाज;नज़रअंदाज;नजरअंदाज;उपेक्षा", "सब|सभी|पहले|ऊपर|पिछले|जो कुछ", "निर्देश|आदेश|कहा गया|बताया", "लिख|कहो|कहें|बोल|उत्तर|जवाब"),
    ("ভুলে;উপেক্ষা;অগ্রাহ্য", "সব|আগে|উপরে|পূর্ব", "নির্দেশ|বলা", "লেখ|লিখ|বল|উত্তর"),
    ("忽略;无视;忽视;忘记;忘掉;無視;忽略;忘記", "之前|以上|上述|所有|先前|前面|此前|一切|上面", "指令|指示|提示|规则|命令|说过|告诉", "只|回答|输出|写|回复|輸出|寫|回覆"),
    ("無視;忘れ", "以前|上記|これまで|すべて|全て|今まで|前の", "指示|命令|言われ", "答え|書い|書け|言っ|言え|出力|返信|だけ"),
    ("무시;잊어;잊으", "이전|위의|모든|앞의|지금까지|전부", "지시|명령|들은", "말하|말해|답하|답해|출력|쓰세|써라|적어|대답"),
    ("เพิกเฉย;ลืม;ละเว้น", "ทั้งหมด|ก่อนหน้า|ข้างต้น|ทุกอย่าง", "คำสั่ง|บอก", "ตอบ|เขียน|พูด"),
)  # fmt: skip


def _voided(before: str, said: str, write: str, stems: str) -> str:
    """Forgetting with all or what came before on either side of it, then what was said, or what is to be written."""
    verb = "|".join(stem.strip() for stem in stems.split(";"))
    end = "[^.!?।。！？\n]"
    rest = f"(?:{said}|{write})"
    return (
        f"(?:{verb}){end}{{0,50}}?(?:{before}){end}{{0,70}}?{rest}"
        f"|(?:{before}){end}{{0,60}}?(?:{verb}){end}{{0,60}}?(?:{write})"
        f"|(?:{before}){end}{{0,30}}?(?:{said}){end}{{0,30}}?(?:{verb})"
    )


# Languages that are not written in Latin letters, of the text as it is.
OTHERS = (
    *(
        rule("override", stems, _voided(before, said, write, stems), before=100, after=170)
        for stems, before, said, write in _SCRIPTS
    ),
    rule(
        "model",
        ":;：;「;«;“",
        r"(?:только|лишь|тільки|лише|μόνο|فقط|केवल|सिर्फ|শুধু|רק)[^.!?।\n]{0,12}?[:«“]"
        r"|(?:只|仅|僅)(?:回答|输出|写|说|回复|輸出|寫|說)[^。\n]{0,6}[:：「“]|とだけ(?:答|書|言|出力|返)|だけ(?:答え|書い|出力)[^。\n]{0,8}[:：「]|만 (?:말|답|출력|쓰|적)[^.\n]{0,8}[:“]",
        before=40,
        after=2,
    ),
)

# Of the text as it was written: names have capitals. The words of who is named are then put into the answer.
NAMED = (
    rule(
        "role",
        "nswer as ;eply as ;espond as ;peak as ;alk as ",
        r"(?:^|[.!?\n\"'(>*] ?)(?:Please |Always |Now |Only )?(?:[Aa]nswer|[Rr]eply|[Rr]espond|[Ss]peak|[Tt]alk) as "
        r"(?:the |if you were |though you were )?[A-Z][a-z]+ (?!As )[A-Z][a-z]+",
        after=60,
    ),
)
