# Gets Kafka's jars and runs what is in them; a part of kafka.sh.
# shellcheck shell=bash disable=SC2034,SC2154 # Variables are shared with the other files.

need_java() {
    local found major
    found=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' || true)
    major=${found%%$'\n'*}
    [ "${major:-0}" -ge 17 ] || die "Kafka $version needs Java 17 or newer, '$java' is ${major:-missing}." \
        "Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk; or set JAVA_HOME"
}

have_jars() {
    [ -e "$libs/kafka_2.13-$version.jar" ] && [ -e "$libs/kafka-tools-$version.jar" ]
}

# Two may run at once: each fills a directory of its own, and the first to finish gives it its name.
fetch() {
    need_java
    ! have_jars || return 0
    command -v mvn >/dev/null || die "Maven is missing, it gets Kafka $version into $libs." \
        "Debian: apt-get install maven; macOS: brew install maven"
    note "getting Kafka $version into $libs (45 MB, once)"
    mkdir -p "$(dirname "$libs")"
    local part
    part=$(mktemp -d "$libs.part.XXXXXX")
    mvn -B -q -Dstyle.color=never -f "$here/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$part" >&2 </dev/null || {
        rm -rf "$part"
        die "Maven could not get Kafka $version, see above; it asks Maven Central unless ~/.m2/settings.xml names a mirror"
    }
    chmod 755 "$part"
    have_jars || { [ ! -e "$libs" ] || mv "$libs" "$part.old"; mv "$part" "$libs"; }
    # What is left if another was faster: `mv` has then put it inside.
    rm -rf "$part" "$part.old" "${libs:?}/${part##*/}"
    have_jars || die "no kafka_2.13-$version.jar in $libs after Maven has run; remove that directory and try again"
}

# A main class of Kafka with its arguments; the first argument is the level of its log.
run_class() {
    local level=$1
    shift
    exec "$java" -Xms256m -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
        -Dlog4j2.configurationFile="$here/log4j2.properties" -Dkafka.log.level="$level" \
        -cp "$libs/*" "$@"
}
