"""Text that gives orders to a model, as documents, questions and titles carry them.

Two folded forms of the text are looked at: its words alone (lower case, look-alike letters as the Latin ones that they
look like, accents, marks of emphasis and what nobody sees left out, line breaks as spaces), and the same with its
punctuation, for forged turns and links. A rule is tried only around the few places where one of its stems stands, and
looks no further than some 200 characters from there: the time grows with the length of the text and no faster.

Speaking of orders is no order ("disregard prior agreements" binds no model), so a rule asks for more than a verb: for what
only a model has been given, or does. What reads alike whether a person or a model is meant is found too; documents that
teach how models are attacked are found as well: their examples are orders to whoever reads them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from app.text import disguised, handed
from app.text.rules import kinds, rule

_GAP = r"(?:[^\s.!?]{1,30} )"  # a word between two others of the same sentence
_AI = (
    r"(?:ais?|llms?|(?:large )?language models?|ai (?:assistant|model|agent|system|reviewer|tool|chatbot|bot|crawler)s?"
    r"|chat ?bots?|chatgpt|gpt(?:[- ]?\w+)?|copilot)"
)
_ORDERS = (
    r"(?:instructions?|(?:system )?prompts?|directives?|commands?|orders|programming|training|guardrails|safeguards)"
)
_RULES = r"(?:guidelines|rules|directions|context|constraints|restrictions|polic(?:y|ies)|conversation|questions?|tasks?|role|persona)"
_BEFORE = r"(?:previous|prior|preceding|above|earlier|former|foregoing|original|initial|your|system|developer)"
_SAY = r"(?:say|print|answer|reply|respond|output|write|tell|return|instead|do|repeat|state|reveal)"
_TELL = (
    r"(?:reveal|print|repeat|show|output|display|disclose|expose|leak|dump|echo|recite|copy|list|summari[sz]e|translate"
    r"|encode|quote|paste|rephrase|paraphrase|spell out|tell (?:me|us|them)|give (?:me|us|them)|write (?:out|down)|share"
    r"|include|append|send|return|what (?:is|are|was|were))"
)
_ANSWERS = r"(?:answers?|responses?|repl(?:y|ies)|outputs?)"


# Of the words alone.
_WORDS = (
    rule(
        "override",
        "ignor;disregard;forget;do not follow;dont follow;stop following;do not obey;pay no attention",
        rf"\b(?:ignor(?:e|es|ing)|disregard(?:ing)?|forget|(?:do not|dont) (?:follow|obey)|stop following|pay no attention to) "
        rf"(?:{_GAP}{{0,5}}?(?:{_BEFORE}|all|any|every|other|these|those) {_GAP}{{0,3}}?{_ORDERS}\b"
        rf"|{_GAP}{{0,3}}?{_BEFORE} {_GAP}{{0,2}}?{_RULES}\b"
        rf"|{_GAP}{{0,3}}?{_ORDERS} (?:above|before|given|you)\b"
        rf"|(?:all |everything |anything |whatever )?(?:of |that |in )?(?:the |is |was |comes |came )?"
        rf"(?:above|previous|prior|before)(?: text| content| message| document)?[.,;:]? (?:and |then |but )?(?:just |only )?{_SAY}\b"
        r"|(?:everything|anything|all|whatever) (?:that )?(?:you|i|we) (?:know|learned|were|have been|had been|said|told|read)\b"
        r"|the (?:users?|question|query|sources?)[.,;]? (?:and|question|query|instead|but)\b)",
    ),
    rule(
        "override",
        "overrid;bypass;discard;dismiss;abandon;neglect",
        rf"\b(?:overrid(?:e|es|ing)|bypass|discard|dismiss|abandon|neglect) {_GAP}{{0,4}}?{_BEFORE} {_GAP}{{0,2}}?(?:{_ORDERS}|{_RULES})\b",
    ),
    rule(
        "override",
        " new ;updated;revised;real instruc;actual instruc;true instruc",
        r"\b(?:your|here are|these are) (?:the |your )?(?:new|updated|revised|real|actual|true) "
        r"(?:instructions?|task|prompt|directives?|goal|orders?|rules?|role)\b(?: (?:is|are|now|follow)\b|:)",
        r"\b(?:new|updated|revised) (?:system )?(?:instructions?|prompt|directives?)(?: from \S+ \S+)?: ",
        r"\b(?:new|updated|revised) system (?:prompt|instructions?|message)\b",
        before=24,
    ),
    rule(
        "override",
        "instructions;prompt;rules you",
        r"\b(?:instructions|prompts?|rules|guidelines) (?:above|you (?:were|have been) given|given to you|before this)"
        rf"(?: {_GAP}{{0,4}}?|,? )(?:ignored|void|invalid|outdated|obsolete|fake|superseded|cancell?ed|overridden|no longer|only a test)\b",
        r"\b(?:previous|prior|above|earlier|system) (?:instructions|prompts?) (?:are|is|were|have been|no longer) "
        rf"{_GAP}{{0,2}}?(?:ignored|void|invalid|outdated|obsolete|fake|superseded|cancell?ed|overridden|apply)\b",
        before=24,
    ),
    rule(
        "override",
        "from now on;until further notice;effective immediately",
        rf"\b(?:from now on|until further notice|effective immediately),? (?:you (?:must|will|are|shall|should|only|answer|respond)\b"
        rf"|(?:always |only |please )?(?:answer|respond|reply|say|output) {_GAP}{{0,3}}?(?:with|as|in|every|all|only)\b)",
    ),
    rule(
        "prompt",
        "prompt;instructions;system message;developer message;configuration",
        rf"\b{_TELL} {_GAP}{{0,6}}?(?:(?:system|initial|hidden|developer|secret|starting|base|original) (?:prompt|instructions)"
        r"|(?:developer|hidden) message|(?:entire|full|complete|exact|whole) (?:system )?prompt"
        r"|prompt (?:above|verbatim|word|text)|instructions (?:above|verbatim|word for word|you were given|given to you))\b",
        rf"\b(?:reveal|print|repeat|show|output|display|disclose|expose|leak|dump|echo|recite|what (?:is|are|were)) "
        rf"{_GAP}{{0,3}}?your {_GAP}{{0,3}}?(?:prompt|instructions|system message|configuration)\b",
        before=100,
        after=40,
    ),
    rule(
        "prompt",
        "above;verbatim;word for word",
        rf"\b(?:repeat|print|output|echo|recite|copy|translate|encode|paste|rephrase) {_GAP}{{0,3}}?"
        r"(?:everything|all|text|words|content|lines?|instructions?|messages?|sentences?) (?:that (?:is|was|are) |of the )?"
        rf"(?:written |said )?above(?: {_GAP}{{0,4}}?(?:verbatim|word for word|code block|starting|beginning|base64)\b| starting| from the)",
        before=90,
        after=90,
    ),
    rule(
        "exfiltration",
        "document;source;conversation;password;api key;credential;secret;users data;passage;files",
        rf"\b{_TELL} {_GAP}{{0,4}}?(?:all|every|each|any|other|the (?:full|entire|complete)|contents?|text|whatever) {_GAP}{{0,4}}?"
        r"(?:documents?|sources?|conversations?|passwords?|api keys?|credentials?|secrets?|users data|passages?|files)\b"
        rf"[.,]? ?{_GAP}{{0,3}}?(?:you (?:have|can|were|know|see|hold)|in (?:your|the) (?:context|prompt|memory|index|knowledge base|collection)"
        r"|(?:from|of|to|belonging to) (?:all |any )?other (?:users?|tenants?|people|customers?|readers?)|given to you|available to you"
        r"|that you|cannot read|may not (?:read|see)|not allowed to (?:read|see)|verbatim|word for word)\b",
        before=90,
        after=110,
    ),
    rule(
        "role",
        "you are now;you are no longer;you are henceforth;you will now;now you are",
        rf"\byou are (?:now|no longer|henceforth) (?:to )?(?:act |an? |the |my |in |bound |dan\b){_GAP}{{0,4}}?"
        r"(?:ai|assistant|bot|chatbot|model|llm|hacker|pirate|persona|character|agent|unrestricted|unfiltered|uncensored|evil|jailbroken"
        r"|terminal|mode|rules|restrictions|policy|policies|guidelines|instructions|administrator|pirates?|as)\b",
        r"\byou are now (?:dan|free from|free of|unrestricted|jailbroken|unfiltered)\b",
        r"\byou will now (?:act|behave|respond|answer|speak|pretend|role-?play|serve|pose) (?:as|to|like|only|in)\b",
    ),
    rule(
        "role",
        "act as;behave as;respond as;answer as;speak as;operate as;pretend;role-play;roleplay;role play",
        r"\b(?:act|behave|respond|answer|speak|operate) as (?:if you (?:are|were|had|have) (?:not |no |an? )?|an? |the |though you (?:are|were|had|have) (?:not |no |an? )?)?"
        r"(?:[^\s.!?]{1,30} ){0,2}?(?:unrestricted|unfiltered|uncensored|evil|jailbroken|(?:linux )?terminal|pirate|hacker|dan|restrictions|filters|ai|llm|chatbot|language model)\b",
        rf"\b(?:pretend|role-?play|role play) (?:that |as |to be |you ){{1,2}}{_GAP}{{0,5}}?(?:ai|assistant|model|dan|evil|unrestricted|administrator|admin|restrictions|rules|filters|guidelines|jailbroken|system)\b",
    ),
    rule(
        "role",
        "jailbr;do anything now;god mode;developer mode;unrestricted mode;dan mode;sudo mode;no restrictions;without restrictions;not bound by;opposite mode",
        r"\b(?:enter|switch to|activate|enable|you are in|you are now in|now in|entering|in) (?:the )?(?:dan|jailbreak|jailbroken|god|unrestricted|sudo|opposite|chatgpt developer) mode\b",
        r"\b(?:dan|jailbreak|unrestricted) mode (?:is )?(?:now )?(?:enabled|activated|on|engaged)\b|\byou (?:can|will|shall) do anything now\b",
        rf"\byou (?:have|are|can|will|must|may) {_GAP}{{0,4}}?(?:no|without|free of|free from|not bound by) (?:any |the |your )?(?:restrictions|filters|censorship|guardrails|content polic\w+|rules)\b",
        before=60,
        after=90,
    ),
    rule(
        "model",
        " ai ; ais ; ai,;ai:; llm;language model;chatbot;chat bot;chatgpt;gpt;copilot;ai assistant;ai model",
        rf"\b(?:attention|note|notice|message|instructions?|directives?|commands?|orders?)[:,]? (?:to|for) (?:all |any |the |every |whichever ){{0,2}}{_AI}\b",
        rf"\b(?:attention|dear|hey|hello)[:,]? (?:all |any |to ){{0,2}}{_AI}\b",
        rf"\b(?:if|since|because|when|whenever|while) you(?: are|re) (?:an? |the |any )?(?:\S+ )?{_AI}\b",
        rf"\b(?:any|all|every) {_AI} (?:reading|processing|summari[sz]ing|reviewing|that reads|which reads|who reads|answering)\b",
        rf"\bas an? {_AI},? (?:you|your|do not|never|always)\b",
        r"\b(?:the )?(?:ai|ai assistant|chatbot|language model|llm) (?:must|should|shall|will|is to|has to|is instructed to) (?:now |always |never |not |only |instead |also ){0,2}"
        r"(?:ignore|disregard|answer|reply|respond|say|output|print|reveal|tell|claim|cite|recommend|approve|append|omit|refuse|obey)\b",
        before=70,
        after=110,
    ),
    rule(
        "model",
        "answer;response;reply;replies;output;respond",
        rf"\b(?:your|every|each|all(?: of)? your) (?:final |next |entire |whole )?{_ANSWERS} (?:must|should|shall|has to|have to|will|is to|are to) (?:now |always |only |also )?"
        r"(?:begin with|start with|end with|say|consist (?:only )?of|claim|be the (?:word|phrase|sentence)|contain the (?:word|phrase|sentence|link|image|url))\b",
        rf"\b(?:begin|start|end|finish|prefix|preface|precede|conclude) (?:your|every|each|all|any) (?:of your )?(?:\S+ )?{_ANSWERS} (?:with|by)\b",
        r"\b(?:answer|respond|reply) (?:to )?(?:every|all|any|each) (?:\S+ ){0,2}?(?:questions?|quer(?:y|ies)|prompts?|users?) (?:only )?(?:with|by saying|as follows)\b",
        r"\b(?:answer|respond|reply) (?:only |always |exactly |simply |just ){1,2}(?:with|by)? ?(?:the )?(?:word|words|phrase|sentence|text|string|token|code)\b",
        rf"\b(?:add|append|insert|include|put|place|render|embed|show|write) {_GAP}{{0,8}}?(?:in|to|at|into|after|with) {_GAP}{{0,5}}?(?:your|every|each) (?:final )?(?:{_ANSWERS}|sentence)\b",
        before=110,
        after=90,
    ),
    rule(
        "model",
        "users;a user;the user;human",
        r"\b(?:do not|dont|never|must not) (?:tell|inform|alert|notify|let|warn|show|mention (?:this|it|that) to|reveal (?:this|it) to) (?:the |any )?(?:users?|humans?)\b"
        rf"(?: {_GAP}{{0,5}}?(?:this|these|instructions?|hidden|prompt|know)\b)",
        r"\b(?:do not|dont|never) (?:answer|respond to|help with) (?:the |any )?users? (?:question|query|request)s?\b",
        rf"\b(?:if|when|whenever) (?:the |a |any )?users? asks?\b {_GAP}{{0,12}}?(?:you (?:must|should|will|shall)|always|only|do not|never|instead) {_GAP}{{0,2}}?(?:say|answer|reply|respond|state|tell|output|claim|recommend|cite)\b",
        before=70,
        after=160,
    ),
    rule(
        "model",
        "asked",
        rf"\b(?:when|if|whenever) (?:you are )?asked\b {_GAP}{{0,12}}?(?:always|you must|only) (?:\S+ )?(?:say|answer|reply|respond|output|claim) (?:that|with|exactly|only|as)\b",
    ),
    rule(
        "citation",
        "cite;attribute;citation;footnote;verified",
        rf"\b(?:always|only|must|falsely|instead|never|do not|dont|please) (?:\S+ )?cite {_GAP}{{0,4}}?(?:this (?:document|source|page|file|text|passage)|source \d|document \d|\[\d|(?:any )?other (?:sources|documents))",
        rf"\b(?:cite|attribute) (?:this|it|them|everything|your answer|the (?:claim|answer|statement)|all of it) {_GAP}{{0,4}}?(?:as|to|from) {_GAP}{{0,2}}?(?:source|\[|page)",
        rf"\b(?:cite|use|add|put|write|give|append) {_GAP}{{0,6}}?(?:\[\d{{1,3}}\]|source \d{{1,3}}) {_GAP}{{0,6}}?(?:every|each|all|your|whatever|regardless|instead)\b",
        rf"\b(?:mark|label|flag|present|report|treat) {_GAP}{{0,5}}?as (?:fully )?(?:verified|supported by (?:source|\[))",
        rf"\b(?:add|append|put|write|invent|fabricate|make up) {_GAP}{{0,6}}?(?:citations?|footnotes?) {_GAP}{{0,6}}?(?:every|each|your|even|that do not exist|nonexistent)\b",
        before=60,
        after=160,
    ),
    # German, French, Spanish, Italian, Portuguese, Dutch; accents are left out.
    rule(
        "override",
        "ignorier;vergiss;vergessen sie;missacht;beachte nicht;beachten sie nicht",
        rf"\b(?:ignorier\w*|vergiss|vergessen sie|missacht\w*|beachte(?:n sie)? nicht) (?={_GAP}{{0,6}}?(?:vorherig|vorig|bisherig|vorangegangen|obig|fruher|alle|deine|ihre|samtlich|zuvor|vorstehend|system)\w*)"
        rf"{_GAP}{{0,7}}?(?:system)?-?(?:anweisung|instruktion|befehl|regel|vorgabe|anordnung|aufforderung|prompt|richtlinie)\w*",
    ),
    rule(
        "override",
        "ignor;oubli;compte d;abstraction",
        rf"\b(?:ignore[rz]?|oublie[rz]?|ne (?:tiens|tenez) (?:pas |plus |aucun )?compte|(?:fais|faites) abstraction) (?={_GAP}{{0,8}}?(?:precedent|anterieur|ci-dessus|toute?s|tous|tes|vos|systeme|initiale|plus haut)\w*)"
        rf"{_GAP}{{0,6}}?(?:instruction|consigne|directive|regle|ordre|invite|prompt)s?\b",
    ),
    rule(
        "override",
        "ignor;olvid;omit;descart;caso omiso;no sigas;esquec;desconsider;dimentica",
        rf"\b(?:ignor[ae]\w*|olvid[ae]\w*|omit[ae]|descart[ae]\w*|(?:haz|haga) caso omiso|no sigas|esquec[ae]\w*|desconsider[ae]\w*|dimentica\w*) (?={_GAP}{{0,8}}?(?:anterior|previ|toda|todo|tus|tuas|suas|sus|arriba|sistema|precedent|tutte|tue|sopra|acima)\w*)"
        rf"{_GAP}{{0,6}}?(?:instrucci|instruco|istruzion|indicacion|ordenes|ordens|ordini|reglas|regras|regole|directric|directiva|diretriz|prompt)\w*",
    ),
    rule(
        "override",
        "negeer;vergeet",
        rf"\b(?:negeer|vergeet) (?={_GAP}{{0,5}}?(?:vorige|eerdere|alle|bovenstaande|je|jouw|uw)\b){_GAP}{{0,6}}?(?:instructies|regels|opdrachten|aanwijzingen|prompts?)\b",
    ),
    rule(
        "prompt",
        "prompt;anweisung;instruktion;instruc;consigne;invite;mensaje del sistema;message systeme",
        rf"\b(?:zeige?n?|gib|verrate?n?|nenne?n?|wiederhole?n?|drucke?|offenbare?) {_GAP}{{0,6}}?(?:system-?prompt\w*|system prompt|systemanweisung\w*|systemnachricht|deine {_GAP}?(?:anweisungen|instruktionen|regeln))",
        rf"\b(?:revele[rz]?|affiche[rz]?|montre[rz]?|repete[rz]?|donne[rz]?|imprime[rz]?|divulgue[rz]?|recopie[rz]?) {_GAP}{{0,6}}?(?:prompt (?:systeme|initial)|invite (?:systeme|initiale)|message systeme|instructions (?:systeme|initiales|secretes|cachees)|tes {_GAP}?(?:instructions|consignes))",
        rf"\b(?:revela|muestra|imprime|repite|escribe|dime|divulga)\w* {_GAP}{{0,6}}?(?:prompt (?:del sistema|inicial)|mensaje del sistema|instrucciones (?:del sistema|iniciales|secretas|ocultas|internas)|tus {_GAP}?instrucciones|tu prompt)",
        before=90,
        after=50,
    ),
    rule(
        "role",
        "du bist jetzt;du bist ab;du bist nun;tu es maintenant;tu es desormais;vous etes desormais;vous etes maintenant;ahora eres;ahora actua",
        rf"\b(?:du bist (?:jetzt|nun|ab jetzt|ab sofort)|(?:tu es|vous etes) (?:maintenant|desormais)|(?:ahora|a partir de ahora) (?:eres|actua\w*)) {_GAP}{{0,4}}?"
        r"(?:ki|ia|assistente?|asistente|modell|modelo|modele|bot|chatbot|hacker|pirata?|pirate|uneingeschrankt\w*|dan|sans|sin|frei|libre|ohne|kein\w*|como)\b",
    ),
    rule(
        "model",
        " ki ; ki-; ia ;sprachmodell;modele de langage;modelo de lenguaje;inteligencia artificial",
        r"\b(?:als ki|als sprachmodell|wenn du (?:eine?|die) (?:ki|sprachmodell))\S*,? (?:\S+ ){0,4}?(?:musst|sollst|darfst|bist|du|antworte|sag\w*)\b",
        r"\b(?:en tant qu\S*|si (?:tu es|vous etes)) (?:une? )?(?:ia|modele de langage),? (?:\S+ ){0,4}?(?:dois|devez|tu|vous|reponds|repondez)\b",
        r"\b(?:como|si eres) (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje),? (?:\S+ ){0,4}?(?:debes|tienes|responde|di)\b",
        before=24,
    ),
)

# Of the text with its punctuation and line breaks.
_MARKS = (
    rule(
        "turn",
        "<|",
        r"<\|(?:im_start|im_end|im_sep|system|user|assistant|endoftext|endofprompt|eot_id|end|end_of_turn|start_header_id|end_header_id|begin_of_text|end_of_text|channel|message|return|call)\|>",
    ),
    rule("turn", "[inst];[/inst];<<sys>>;<</sys>>;<start_of_turn>;<end_of_turn>;[system];[/system]", r""),
    rule(
        "turn",
        "source;system;assistant;instruction;document;context;developer;user_query;question>",
        r"</?(?:system|assistant|developer)(?:[_ -](?:prompt|message|reminder|note|instructions?))?(?: [^<>]{0,60})?>",
        r"</(?:sources?|documents?|context|passages?|instructions?|user_query|question|retrieved)>\s{0,9}<(?:/|source\b|system|instructions?|document |user|question|assistant)",
        r"<source\s[^<>]{0,40}\b(?:n|id)\s?=",
        before=24,
    ),
    rule(
        "turn",
        "system;assistant;developer;human:",
        r"(?:^|\n)[ \t#>*_`\[(-]{0,12}(?:system|developer)(?: (?:message|prompt|instructions?|note|override|notice|update|alert))?[\])*_`]{0,4} ?: ?[*_`]{0,3}"
        r"(?:[^\n]{0,60}\b(?:you|your|ignore|disregard|forget|assistant|answer|respond|reply|must|never|always|model|users?|reveal|print)\b)",
        r"(?:^|\n)[ \t#>*_`\[(-]{0,12}(?:user|human)[\])*_`]{0,4} ?:[^\n]{1,200}\n\s{0,20}[#>*_`\[(-]{0,6}(?:assistant|ai|model)[\])*_`]{0,4} ?:",
        r"(?:^|\n)[ \t#>*_`\[(-]{0,12}assistant[\])*_`]{0,4} ?: ?[*_`]{0,3}(?:sure|of course|certainly|understood|i will|i have|ok\b|okay|yes|here is|here are|my (?:system|instructions))",
        r"(?:^|\n)#{2,4} ?(?:system|assistant)(?: (?:prompt|message|response))? ?:? ?\n",
        before=230,
        after=260,
    ),
    rule(
        "exfiltration",
        "://",
        r"https?://[^\s<>]{1,200}(?:=|/|\?)(?:\{|\[|<|\$\{|%7b|%5b|\()\s?(?:the |your |full |entire |base64 |encoded |url-?encoded )*(?:question|answer|prompt|context|data|secret|conversation|system|chat|history|user|summary|contents?|text|api|instructions?|previous)",
        r"\b(?:send|post|forward|upload|exfiltrate|transmit|submit|leak|append|encode|embed|attach)\b[^.!?\n]{0,60}\b(?:conversation|chat (?:history|log)|prompt|context|users?'? question|the question|(?:your|the) (?:answer|instructions|response)|api keys?|passwords?|secrets?)\b[^!?\n]{0,60}https?://",
        r"\b(?:render|display|show|insert|include|embed|add|append|output|print|start|end|finish|begin|put|write|place|load|fetch|visit|open|link)\b[^\n]{0,120}\b(?:(?:your|every|each|any|all) (?:final )?(?:answers?|responses?|repl(?:y|ies)|outputs?|sentences?)|the (?:end|start|beginning|top) of (?:your|the|every|each) (?:answer|response|reply)|before (?:answering|you answer|responding)|the user)\b[^\n]{0,100}https?://",
        r"https?://[^\n]{0,160}\b(?:in|to|at|into|with|before) [^\n.]{0,40}\b(?:your|every|each) (?:final )?(?:answers?|responses?|repl(?:y|ies)|outputs?)\b",
        before=260,
        after=260,
    ),
    rule(
        "exfiltration",
        "![;<img;<iframe",
        r"\b(?:render|display|show|insert|include|embed|add|append|output|print|start|end|finish|begin|put|write|place)\b[^\n]{0,80}"
        r"(?:!\[[^\]\n]{0,80}\][\[(]|<img\b|<iframe\b)[^\n]{0,200}\b(?:your|every|each) (?:final )?(?:answers?|responses?|repl(?:y|ies)|outputs?)\b",
        before=100,
        after=300,
    ),
    rule(
        "exfiltration",
        "tool_call;function_call;<invoke;tool_use; tool ; function ;mailto:;javascript:;data:text",
        r"[\"'](?:tool_calls?|function_call|tool_use)[\"']\s?:\s?[\[{\"]|<(?:tool_call|function_calls?|invoke|tool_use)\b[^<>]{0,80}>",
        r"\b(?:call|invoke|use|execute|run)\b (?:the |your )?(?:\S+ ){0,2}(?:tool|function)\b[^\n]{0,80}\b(?:before (?:answering|you answer|responding)|users?'? (?:question|data)|conversation|your (?:answer|instructions|prompt))\b",
        r"\b(?:add|append|include|insert|put|write|link)\b[^\n]{0,80}\b(?:your|every|each) (?:answers?|responses?|repl(?:y|ies)|sentences?)\b[^\n]{0,80}(?:mailto:|javascript:|data:text)",
        r"(?:mailto:|javascript:|data:text)[^\n]{0,120}\b(?:your|every|each) (?:answers?|responses?|repl(?:y|ies))\b",
        before=160,
        after=200,
    ),
)

# Languages that are not written in Latin letters, of the text as it is.
_OTHERS = (
    rule(
        "override",
        "игнорир;забудь;забудьте;не следуй",
        r"(?:игнорируй\w*|забудьте?|не следуй\w*)[^.!?\n]{0,50}(?:инструкци|указани|правил|команд|промпт)\w*",
    ),
    rule(
        "override",
        "忽略;无视;忽视;忘记;無視",
        r"(?:忽略|无视|忽视|忘记|無視)[^。!?\n]{0,12}(?:之前|以上|上述|所有|先前|前面|此前|任何)[^。!?\n]{0,10}(?:指令|指示|说明|提示|规则|規則|命令)",
        r"(?:以前|上記|これまで|すべて|全て|前)の?[^。!?\n]{0,8}(?:指示|命令|プロンプト|ルール)[^。!?\n]{0,6}(?:無視|忘れ)",
        before=40,
        after=60,
    ),
    rule(
        "prompt",
        "промпт;системн;系统提示;システムプロンプト",
        r"(?:покажи|выведи|раскрой|повтори|напечатай)[^.!?\n]{0,40}(?:системн\w+ (?:промпт|инструкци|сообщени)\w*|промпт)",
        r"(?:显示|输出|打印|重复|告诉|泄露)[^。!?\n]{0,12}系统提示|システムプロンプト[^。!?\n]{0,8}(?:表示|出力|教え|見せ)",
        before=50,
        after=40,
    ),
)

# Letters that look like Latin ones: Cyrillic, Greek, small capitals, letters with strokes.
_LOOKALIKES = str.maketrans(
    "авсԁеɡнһіјкӏмпорԛгѕтυѵԝхуαβεικνορτχγηωᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢıłøđ’ʼ‘′–—“”„«»•",  # noqa: RUF001 - the marks themselves
    'abcdeghhijklmnopqrstuvwxyabeikvoptxynwabcdefghijklmnoprstuvwyzilod\'\'\'\'--""""" ',
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_UNSEEN = re.compile("[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0100-\U000e01ef]")  # fmt: skip
_TAGS = re.compile("[\U000e0020-\U000e007e]")  # ASCII once more, seen by models and by nobody else
_EMPHASIS = str.maketrans({**dict.fromkeys('*_`~"|>#\\^+•', " "), "'": None, "\x00": " "})
_BROKEN = re.compile(r"-[ \t]{0,4}\n[ \t]{0,40}(?=[a-z])")
_SPACED_STEMS = ("i g n o r e", "d i s r e g a r d", "f o r g e t", "p r o m p t", "o v e r r i d e")
_SPACED = re.compile(r"\b\w(?: \w\b){7,}")
_RUN_TOGETHER = re.compile(
    r"(?:ignore|disregard|forget|override)(?:all|any|the|of|your)*(?:previous|prior|above|earlier|your|system)(?:instructions?|prompts?|rules)"
    r"|(?:reveal|print|show|repeat|output)(?:your|the)*(?:system|hidden|initial)?(?:prompt|instructions)"
)


def found(text: str) -> tuple[str, ...]:
    """The kinds of orders that the text carries, each once; none where it only speaks.

    `override` (of what a model was told), `prompt` (to tell what it was told), `exfiltration` (to send or show what is not
    the asker's, to load a link), `role` (to be somebody else), `turn` (forged turns of a conversation, forged marks of
    sources), `model` (other orders to a model), `citation` (to cite what is not so).
    """
    return tuple(dict.fromkeys(_kinds(text)))


def _kinds(text: str) -> Iterator[str]:
    lowered = text.lower()
    ascii_alone = lowered.isascii()  # all rules but the last are of ASCII, in which searching takes a third of the time
    marked = lowered if ascii_alone else _NOT_ASCII.sub(lambda run: _latin(run.group()), lowered)
    plain = f" {' '.join(_joined(marked).translate(_EMPHASIS).split())} "
    yield from kinds(_WORDS, plain)
    yield from kinds(handed.WORDS, plain)
    yield from _spaced(plain)
    yield from kinds(_MARKS, marked)
    yield from kinds(handed.MARKS, marked)
    if not ascii_alone:
        yield from kinds(_OTHERS, lowered)
        yield from kinds(handed.OTHERS, lowered)
    yield from kinds(handed.NAMED, text)
    yield from _disguised(text, plain)


def _disguised(text: str, plain: str) -> Iterator[str]:
    """The kinds of orders that the text holds in a form which is read only after some work."""
    if disguised.in_pieces(plain):
        yield "override"
    for reading in disguised.turned(plain):
        yield from kinds(_WORDS, reading)
        yield from kinds(handed.WORDS, reading)
    for decoded, ordered in disguised.encoded(text):
        yield from ("model",) if ordered else found(decoded)


def _latin(run: str) -> str:
    """Characters outside ASCII as the Latin letters that they look like; those nobody sees left out, others as `?`."""
    seen = _TAGS.sub(lambda tag: chr(ord(tag.group()) - 0xE0000), _UNSEEN.sub("", run))
    apart = unicodedata.normalize("NFKD", seen).lower()
    letters = "".join(char for char in apart if unicodedata.category(char) != "Mn").translate(_LOOKALIKES)
    return letters.encode("ascii", "replace").decode()


def _joined(text: str) -> str:
    """The text with the words that a line's end broke in one piece."""
    return _BROKEN.sub("", text)


def _spaced(plain: str) -> Iterator[str]:
    """Orders written letter by letter with spaces between."""
    for stem in _SPACED_STEMS:
        at = plain.find(stem)
        if at >= 0 and any(_RUN_TOGETHER.search(run.replace(" ", "")) for run in _SPACED.findall(plain, at, at + 200)):
            yield "prompt" if stem == "p r o m p t" else "override"
