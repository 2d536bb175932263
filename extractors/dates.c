/*
 * dates.c - dates and times as printed, in the languages of Europe and some others.
 *
 * A date is at most three numbers and a month name in any order with anything between;
 * which number is which follows from size, separators and the order the document uses.
 */
#include "normalize.h"

#include <string.h>

/* Stems, folded, of all languages together; '|' between stems, ' ' never inside.  A word
 * is a month when it equals a stem, continues one by up to four letters (inflection), or
 * is its beginning (abbreviation, three letters at least). */
static const char *const months[12] = {
    /* clang-format off */
    "january|januar|januari|janvier|gennaio|enero|janeiro|styczen|styczni|leden|ledna|sijecan|"
    "sijecnja|januarie|ianuarie|януари|январь|января|січень|січня|ιανουαρι|tammikuu|jaanuar|"
    "janvaris|sausis|sausio|jannar|eanair|ocak|janner|jaenner|gener|xaneiro|јануар|студзен",
    "february|februar|februari|fevrier|febbraio|febrero|fevereiro|luty|lutego|unor|unora|veljaca|"
    "veljace|februarie|февруари|февраль|февраля|лютии|лютого|φεβρουαρι|helmikuu|veebruar|"
    "februaris|vasaris|vasario|frar|feabhra|subat|febrer|feber|фебруар|люты",
    "march|marz|maerz|maart|mars|marzo|marco|marzec|marca|brezen|brezna|ozujak|ozujka|martie|marec|"
    "marcius|март|марта|березень|березня|μαρτι|maaliskuu|marts|kovas|kovo|marzu|marta|mart|сакавік",
    "april|avril|aprile|abril|kwiecien|kwietnia|duben|dubna|travanj|travnja|aprilie|aprilis|април|"
    "апрель|апреля|квітень|квітня|απριλι|huhtikuu|aprill|balandis|balandzio|aibrean|nisan|"
    "красавік|apr",
    "may|mai|mei|maj|mayo|maggio|maio|maja|kveten|kvetna|svibanj|svibnja|majus|май|маи|мая|травень|"
    "травня|μαιος|μαιου|μαι|toukokuu|maijs|maija|geguze|geguzes|mejju|bealtaine|mayis|maig|маj|траўн",
    "june|juni|juin|giugno|junio|junho|czerwiec|czerwca|cerven|cervna|lipanj|lipnja|iunie|junij|junius|"
    "юни|июнь|июня|червень|червня|ιουνι|kesakuu|juuni|junijs|birzelis|birzelio|gunju|meitheamh|"
    "haziran|juny|jun|јун|чэрвен",
    "july|juli|juillet|luglio|julio|julho|lipiec|lipca|cervenec|cervence|srpanj|srpnja|iulie|julij|"
    "julius|юли|июль|июля|липень|липня|ιουλι|heinakuu|juuli|julijs|liepa|liepos|lulju|iuil|temmuz|"
    "juliol|jul|јул|ліпен",
    "august|augustus|aout|agosto|sierpien|sierpnia|srpen|srpna|kolovoz|kolovoza|avgust|augusztus|"
    "август|августа|серпень|серпня|αυγουστ|elokuu|augusts|rugpjutis|rugpjucio|awwissu|lunasa|"
    "agustos|agost|augusti|жнівен",
    "september|septembre|settembre|septiembre|setiembre|setembro|wrzesien|wrzesnia|zari|rujan|rujna|"
    "septembrie|szeptember|септември|сентябрь|сентября|вересень|вересня|σεπτεμβρι|syyskuu|"
    "septembris|rugsejis|rugsejo|settembru|eylul|setembre|sept|септембар|верасен",
    "october|oktober|octobre|ottobre|octubre|outubro|pazdziernik|rijen|rijna|octombrie|oktobar|"
    "október|октомври|октябрь|октября|жовтень|жовтня|οκτωβρι|lokakuu|oktoobris|oktoober|oktobris|"
    "spalis|spalio|ottubru|ekim|octubre|октобар|кастрычнік",
    "november|novembre|noviembre|novembro|listopad|listopadu|studeni|studenog|noiembrie|ноември|"
    "ноябрь|ноября|листопад|νοεμβρι|marraskuu|novembris|lapkritis|lapkricio|novembru|samhain|kasim|"
    "новембар|лістапад",
    "december|dezember|decembre|dicembre|diciembre|dezembro|grudzien|grudnia|prosinec|prosince|"
    "prosinac|prosinca|decembrie|декември|декабрь|декабря|грудень|грудня|δεκεμβρι|joulukuu|"
    "detsember|decembris|gruodis|gruodzio|dicembru|nollaig|aralik|desembre|desember|децембар|снежан",
    /* clang-format on */
};

/* How well a word fits a stem: 0 not, else larger is better. */
static unsigned stem_fit(const char *word, gsize word_bytes, const char *stem,
                         gsize stem_bytes)
{
    gsize common = MIN(word_bytes, stem_bytes);
    if (memcmp(word, stem, common) != 0)
        return 0;
    glong word_chars = g_utf8_strlen(word, (gssize)word_bytes);
    glong stem_chars = g_utf8_strlen(stem, (gssize)stem_bytes);
    if (word_chars == stem_chars)
        return 1000;
    if (word_chars > stem_chars)
        return stem_chars >= 4 && word_chars - stem_chars <= 4
                   ? 100 + (unsigned)stem_chars
                   : 0;
    return word_chars >= 3 ? 10 : 0;
}

gboolean dx_month_read(const char *folded, const char *language, int *month, int *other)
{
    gsize bytes = strlen(folded);
    unsigned best = 0;
    *other = 0;
    if (bytes < 3)
        return FALSE;
    for (int m = 0; m < 12; m++) {
        for (const char *stem = months[m]; *stem != 0;) {
            gsize n = strcspn(stem, "|");
            unsigned fit = stem_fit(folded, bytes, stem, n);
            if (fit > best) {
                best = fit;
                *month = m + 1;
            }
            stem += n + (stem[n] == '|');
        }
    }
    /* The same word is November in Polish and Czech, October in Croatian. */
    if (best > 0 && g_str_has_prefix("listopada", folded)) {
        gboolean croatian = language != NULL && strcmp(language, "hr") == 0;
        *month = croatian ? 10 : 11;
        *other = croatian ? 11 : 10;
    }
    return best > 0;
}

static gboolean valid_date(int year, int month, int day)
{
    return year >= DX_YEAR_MIN && year <= DX_YEAR_MAX && month >= 1 && month <= 12 &&
           day >= 1 &&
           g_date_valid_dmy((GDateDay)day, (GDateMonth)month, (GDateYear)year);
}

static char *format_date(int year, int month, int day)
{
    return g_strdup_printf("%04d-%02d-%02d", year, month, day);
}

gboolean dx_date_to_days(const char *value, int64_t *days)
{
    if (value == NULL || strlen(value) != 10 || value[4] != '-' || value[7] != '-')
        return FALSE;
    int part[3] = { 0 };
    for (int i = 0, k = 0; i < 10; i++) {
        if (i == 4 || i == 7) {
            k++;
            continue;
        }
        if (!g_ascii_isdigit(value[i]))
            return FALSE;
        part[k] = part[k] * 10 + (value[i] - '0');
    }
    if (part[0] < 1 || part[1] < 1 || part[1] > 12 || part[2] < 1 ||
        !g_date_valid_dmy((GDateDay)part[2], (GDateMonth)part[1], (GDateYear)part[0]))
        return FALSE;
    GDate date, epoch;
    g_date_clear(&date, 1);
    g_date_set_dmy(&date, (GDateDay)part[2], (GDateMonth)part[1], (GDateYear)part[0]);
    g_date_clear(&epoch, 1);
    g_date_set_dmy(&epoch, 1, G_DATE_JANUARY, 1970);
    *days = g_date_days_between(&epoch, &date);
    return TRUE;
}

char *dx_date_from_days(int64_t days)
{
    GDate date;
    g_date_clear(&date, 1);
    g_date_set_dmy(&date, 1, G_DATE_JANUARY, 1970);
    int64_t julian = (int64_t)g_date_get_julian(&date) + days;
    if (julian < 1 || julian > 3000000)
        return NULL;
    g_date_set_julian(&date, (guint32)julian);
    return format_date(g_date_get_year(&date), (int)g_date_get_month(&date),
                       g_date_get_day(&date));
}

typedef struct parts {
    int number[4];
    unsigned digits[4];
    char before[4]; /* the sign in front of number i, blanks left out */
    unsigned count;
    int month, month_other;
    unsigned month_at; /* numbers seen before the month name */
} parts;

/* Numbers and the month name; FALSE when there are too many of either. */
static gboolean collect(const char *folded, const char *language, parts *out)
{
    *out = (parts){ 0 };
    char sign = 0;
    for (const char *p = folded; *p != 0;) {
        gunichar c = g_utf8_get_char(p);
        if (g_ascii_isdigit(*p)) {
            const char *q = p;
            int value = 0;
            unsigned digits = 0;
            for (; g_ascii_isdigit(*q) && digits < 9; q++, digits++)
                value = value * 10 + (*q - '0');
            if (*q == ':' || sign == ':') { /* a time behind the date */
                sign = *q == ':' ? ':' : sign;
                p = q + (*q == ':');
                continue;
            }
            if (out->count == G_N_ELEMENTS(out->number) || g_ascii_isdigit(*q))
                return FALSE;
            out->number[out->count] = value;
            out->digits[out->count] = digits;
            out->before[out->count++] = sign;
            sign = 0;
            p = q;
        } else if (g_unichar_isalpha(c)) {
            const char *q = p;
            while (*q != 0 && g_unichar_isalpha(g_utf8_get_char(q)))
                q = g_utf8_next_char(q);
            g_autofree char *word = g_strndup(p, (gsize)(q - p));
            int month, other;
            if (dx_month_read(word, language, &month, &other) && out->month == 0) {
                out->month = month;
                out->month_other = other;
                out->month_at = out->count;
            } else if (strcmp(word, "t") == 0 && out->count == 3) {
                break; /* 2024-05-31T00:00:00 */
            }
            p = q;
        } else {
            if (c != ' ')
                sign = c < 0x80 ? (char)c : '?';
            p = g_utf8_next_char(p);
        }
    }
    return TRUE;
}

static int full_year(int number, unsigned digits, const dx_context *context)
{
    if (digits <= 2)
        return number < 80 ? 2000 + number : 1900 + number;
    if (context != NULL && context->is_buddhist && number > 2400)
        return number - 543;
    return number;
}

/* A year mark in CJK print, with the era year where there is one. */
static gboolean read_cjk(const char *text, char **value)
{
    static const struct {
        const char *name;
        int before;
    } eras[] = { { "令和", 2018 }, { "平成", 1988 }, { "昭和", 1925 } };
    const char *year_mark = strstr(text, "年");
    const char *month_mark = year_mark == NULL ? NULL : strstr(year_mark, "月");
    const char *day_mark = month_mark == NULL ? NULL : strstr(month_mark, "日");
    if (day_mark == NULL)
        return FALSE;
    int base = 0;
    const char *start = text;
    for (gsize i = 0; i < G_N_ELEMENTS(eras); i++) {
        if (g_str_has_prefix(text, eras[i].name)) {
            base = eras[i].before;
            start = text + strlen(eras[i].name);
        }
    }
    char *end = NULL;
    int year = g_str_has_prefix(start, "元") ? 1 : (int)g_ascii_strtoull(start, &end, 10);
    int month = (int)g_ascii_strtoull(year_mark + strlen("年"), &end, 10);
    int day = (int)g_ascii_strtoull(month_mark + strlen("月"), &end, 10);
    if (year < 0 || year > 3000 || !valid_date(base + year, month, day))
        return FALSE;
    *value = format_date(base + year, month, day);
    return TRUE;
}

static gboolean read_written(const parts *d, const dx_context *context, char **value,
                             char **alternative)
{
    if (d->count != 2)
        return FALSE;
    /* The year is the one with four digits, else the last. */
    unsigned y = d->digits[0] == 4 && d->digits[1] <= 2 ? 0 : 1;
    if (d->digits[1 - y] > 2 || d->digits[y] == 1 || d->digits[y] == 3 ||
        d->digits[y] > 4)
        return FALSE;
    int year = full_year(d->number[y], d->digits[y], context);
    int day = d->number[1 - y];
    if (!valid_date(year, d->month, day))
        return FALSE;
    *value = format_date(year, d->month, day);
    if (alternative != NULL && d->month_other != 0 &&
        valid_date(year, d->month_other, day))
        *alternative = format_date(year, d->month_other, day);
    return TRUE;
}

static gboolean prefers_month(const dx_context *context)
{
    if (context == NULL)
        return FALSE;
    if (context->order != DX_ORDER_UNKNOWN)
        return context->order == DX_ORDER_MONTH_DAY;
    return strcmp(context->country, "US") == 0 || strcmp(context->country, "PH") == 0;
}

static gboolean read_numeric(const parts *d, const dx_context *context, char **value,
                             char **alternative)
{
    if (d->count != 3 || d->digits[1] > 2)
        return FALSE;
    if (d->digits[0] == 4 ||
        (d->digits[0] == 2 && d->number[0] > 31 && d->digits[2] == 2)) {
        int year = full_year(d->number[0], d->digits[0], context);
        if (d->digits[2] > 2 || !valid_date(year, d->number[1], d->number[2]))
            return FALSE;
        *value = format_date(year, d->number[1], d->number[2]);
        return TRUE;
    }
    if (d->digits[0] > 2 || (d->digits[2] != 2 && d->digits[2] != 4))
        return FALSE;
    int year = full_year(d->number[2], d->digits[2], context);
    int a = d->number[0], b = d->number[1];
    gboolean day_first = valid_date(year, b, a), month_first = valid_date(year, a, b);
    if (!day_first && !month_first)
        return FALSE;
    /* Points stand in day-first dates only. */
    gboolean points = d->before[1] == '.' && d->before[2] == '.';
    gboolean swap = month_first && (!day_first || (!points && prefers_month(context)));
    *value = swap ? format_date(year, a, b) : format_date(year, b, a);
    gboolean known = points || (context != NULL && context->order != DX_ORDER_UNKNOWN);
    if (alternative != NULL && day_first && month_first && a != b && !known)
        *alternative = swap ? format_date(year, b, a) : format_date(year, a, b);
    return TRUE;
}

gboolean dx_read_date(const char *printed, const dx_context *context, char **value,
                      char **alternative)
{
    g_autofree char *folded = dx_fold(printed, strlen(printed));
    if (alternative != NULL)
        *alternative = NULL;
    if (strstr(folded, "年") != NULL)
        return read_cjk(folded, value);
    parts d;
    if (!collect(folded, context != NULL ? context->language : NULL, &d))
        return FALSE;
    if (d.month != 0)
        return read_written(&d, context, value, alternative);
    if (d.count == 1 && d.digits[0] == 8) { /* 20240531 */
        int n = d.number[0];
        if (!valid_date(n / 10000, n / 100 % 100, n % 100))
            return FALSE;
        *value = format_date(n / 10000, n / 100 % 100, n % 100);
        return TRUE;
    }
    return read_numeric(&d, context, value, alternative);
}

gboolean dx_read_time(const char *printed, char **value)
{
    int part[3] = { 0 };
    unsigned count = 0;
    const char *p = printed;
    while (count < 3) {
        const char *q = p;
        while (g_ascii_isdigit(*q) && q - p < 3)
            part[count] = part[count] * 10 + (*q++ - '0');
        if (q == p || q - p > 2 || (count > 0 && q - p != 2))
            return FALSE;
        count++;
        gboolean separator = *q == ':' || *q == '.' || *q == 'h' || *q == 'H';
        p = q;
        if (!separator || !g_ascii_isdigit(q[1]))
            break;
        p = q + 1;
    }
    g_autofree char *tail = dx_fold(p, strlen(p));
    g_strstrip(tail);
    gboolean pm =
        strcmp(tail, "pm") == 0 || strcmp(tail, "p.m.") == 0 || strcmp(tail, "p") == 0;
    gboolean am =
        strcmp(tail, "am") == 0 || strcmp(tail, "a.m.") == 0 || strcmp(tail, "a") == 0;
    gboolean hour_word = strcmp(tail, "uhr") == 0 || strcmp(tail, "h") == 0 ||
                         strcmp(tail, "hrs") == 0 || strcmp(tail, "kl") == 0;
    if (*tail != 0 && !pm && !am && !hour_word)
        return FALSE;
    if (count == 1 && !pm && !am && strcmp(tail, "uhr") != 0 && strcmp(tail, "h") != 0)
        return FALSE;
    if ((pm || am) && (part[0] < 1 || part[0] > 12))
        return FALSE;
    if (pm || am)
        part[0] = part[0] % 12 + (pm ? 12 : 0);
    if (part[0] > 23 || part[1] > 59 || part[2] > 59)
        return FALSE;
    *value = count == 3 ? g_strdup_printf("%02d:%02d:%02d", part[0], part[1], part[2])
                        : g_strdup_printf("%02d:%02d", part[0], part[1]);
    return TRUE;
}
