"""Names of months and days of the week in the languages of Europe, and in Turkish, Indonesian and Arabic.

Full names, genitives and the usual abbreviations, without accents and in lower case; names that two languages use for
different months ("listopad" is October in Croatian, November in Polish and Czech) mean what more people mean by them.
Source: Unicode CLDR, the calendars' months (format and stand-alone, wide and abbreviated); cldr.unicode.org.
"""

import unicodedata

__all__ = ["MONTH", "WEEKDAYS", "bare_word"]

MONTHS = (
    """january jan januar janvier janv enero ene gennaio gen januari janeiro janner jaenner januar ianuarie ian
    styczen stycznia sty leden ledna led ocak oca tammikuu tammikuuta tammi января январь янв січня січень січ
    ιανουαριου ιανουαριος ιαν يناير""",
    """february feb februar fevrier fevr fev febrero febbraio februari fevereiro februarie feber luty lutego lut unor
    unora uno subat sub helmikuu helmikuuta helmi февраля февраль фев февр лютого лютии лют φεβρουαριου φεβρουαριος φεβ
    فبراير""",
    """march mar marz maerz mrz mars marzo maart mrt marco marts marcius marc martie marzec marca brezen brezna bre mart
    maret maaliskuu maaliskuuta maalis марта март мар березня березень бер μαρτιου μαρτιος μαρ مارس""",
    """april apr avril avr abril abr aprile aprilis aprilie kwiecien kwietnia kwi duben dubna dub nisan nis huhtikuu
    huhtikuuta huhti апреля апрель апр квітня квітень квіт κβιτ απριλιου απριλιος απρ أبريل ابريل إبريل""",
    """may mai mayo maggio mag mei maio maj majus maja kveten kvetna kve mayis toukokuu toukokuuta touko мая маи травня
    травень трав μαιου μαιος μαι مايو""",
    """june jun juni juin junio giugno giu junho junius iunie iun czerwiec czerwca cze cerven cervna cvn haziran haz
    kesakuu kesakuuta kesa июня июнь июн червня червень черв ιουνιου ιουνιος ιουν يونيو""",
    """july jul juli juillet juil julio luglio lug julho julius iulie iul lipiec lipca lip cervenec cervence cvc temmuz
    tem heinakuu heinakuuta heina июля июль июл липня липень лип ιουλιου ιουλιος ιουλ يوليو""",
    """august aug aout agosto ago augustus augusti augusztus sierpien sierpnia sie srpen srpna srp agustos agu agustus
    agt elokuu elokuuta elo августа август авг серпня серпень серп αυγουστου αυγουστος αυγ أغسطس اغسطس""",
    """september sep sept septembre septiembre setiembre settembre setembro set szeptember szept septembrie wrzesien
    wrzesnia wrz zari zar eylul eyl syyskuu syyskuuta syys сентября сентябрь сен сент вересня вересень вер σεπτεμβριου
    σεπτεμβριος σεπ سبتمبر""",
    """october oct oktober okt octobre octubre ottobre ott outubro out octombrie pazdziernik pazdziernika paz rijen
    rijna rij ekim eki lokakuu lokakuuta loka октября октябрь окт жовтня жовтень жовт οκτωβριου οκτωβριος οκτ أكتوبر
    اكتوبر""",
    """november nov novembre noviembre novembro noiembrie noi listopad listopada listopadu lis kasim kas marraskuu
    marraskuuta marras ноября ноябрь ноя нояб νοεμβριου νοεμβριος νοε نوفمبر""",
    """december dec dezember dez decembre diciembre dicembre dic dezembro desember des decembrie grudzien grudnia gru
    prosinec prosince pro aralik ara joulukuu joulukuuta joulu декабря декабрь дек грудня грудень груд δεκεμβριου
    δεκεμβριος δεκ ديسمبر""",
)
DAYS = """
    monday tuesday wednesday thursday friday saturday sunday mon tue tues wed weds thu thur thurs fri sat sun
    montag dienstag mittwoch donnerstag freitag samstag sonnabend sonntag mo di mi do fr sa so
    lundi mardi mercredi jeudi vendredi samedi dimanche lun mar mer jeu ven sam dim
    lunes martes miercoles jueves viernes sabado domingo mie jue vie sab dom
    lunedi martedi mercoledi giovedi venerdi sabato domenica gio
    segunda segunda-feira terca terca-feira quarta quarta-feira quinta quinta-feira sexta sexta-feira
    seg ter qua qui sex maanantai tiistai keskiviikko torstai perjantai lauantai sunnuntai
    maandag dinsdag woensdag donderdag vrijdag zaterdag zondag ma wo vr za zo
    poniedzialek wtorek sroda czwartek piatek sobota niedziela pon wt sr czw pt sob nd niedz
    mandag tirsdag onsdag torsdag fredag lordag sondag man tir ons tor fre lor son tis
    понедельник вторник среда четверг пятница суббота воскресенье пн вт ср чт пт сб вс
"""
PLAIN = str.maketrans({"ł": "l", "ı": "i", "ø": "o", "đ": "d"})


def bare_word(word: str) -> str:
    """A word in lower case and without accents.

    >>> bare_word("Février"), bare_word("MÄRZ")
    ('fevrier', 'marz')
    """
    apart = unicodedata.normalize("NFD", word.casefold())
    return "".join(c for c in apart if not unicodedata.combining(c)).translate(PLAIN)


MONTH = {bare_word(name): number for number, names in enumerate(MONTHS, start=1) for name in names.split()}
"""The number of a month by its name, as `bare_word` has it."""
WEEKDAYS = frozenset(DAYS.split())
