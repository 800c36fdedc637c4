//! Command lines of the real components, which their stand-ins show in /proc.

/// Returns the program's name and arguments of the component called `name` on a host with the address `ip`;
/// `None` for a component that the demo does not know.
pub(crate) fn command_line(name: &str, ip: &str) -> Option<(&'static str, Vec<String>)> {
    let spark = |class: &str| words(&format!("-cp /opt/spark/conf:/opt/spark/lib/* -Xms1g -Xmx1g {class}"));
    let kafka = |heap: &str, log: &str, class: &str, file: &str| {
        words(&format!(
            "-Xmx{heap} -Xms{heap} -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 \
             -XX:InitiatingHeapOccupancyPercent=35 -XX:+DisableExplicitGC -Djava.awt.headless=true \
             -Xloggc:{KAFKA}/bin/../logs/{log}-gc.log -verbose:gc -XX:+PrintGCDetails -XX:+PrintGCDateStamps \
             -XX:+PrintGCTimeStamps -Dcom.sun.management.jmxremote \
             -Dcom.sun.management.jmxremote.authenticate=false -Dcom.sun.management.jmxremote.ssl=false \
             -Dkafka.logs.dir={KAFKA}/bin/../logs -Dlog4j.configuration=file:bin/../config/log4j.properties \
             -cp :{KAFKA}/bin/../libs/* {class} {file}"
        ))
    };
    let job = |rest: &str| {
        words(&format!(
            "-cp /opt/spark/conf:/opt/spark/lib/* -Xms1g -Xmx1g org.apache.spark.deploy.SparkSubmit \
             --master spark://{ip}:7077 --conf spark.cores.max=1 --conf spark.ui.enabled=false \
             --executor-memory 512m --driver-memory 512m {rest}"
        ))
    };
    let arguments = match name {
        "kafka zookeeper server" => kafka(
            "512M",
            "zookeeper",
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
            "config/zookeeper.properties",
        ),
        "kafka server" => kafka("1G", "kafkaServer", "kafka.Kafka", "config/server.properties"),
        "spark master" => {
            [spark("org.apache.spark.deploy.master.Master"), words(&format!("--ip {ip} --port 7077"))]
                .concat()
        }
        "spark worker" => [
            spark("org.apache.spark.deploy.worker.Worker"),
            words(&format!("--webui-port 8081 spark://{ip}:7077")),
        ]
        .concat(),
        "processor accelerometer" => job("rta_processor_simple.py accelerometer sklearn"),
        "processor gyroscope" => job("rta_processor_simple.py gyroscope sklearn"),
        "processor barometer" => job("rta_processor_simple.py barometer sklearn"),
        "processor aggregator" => job("har_predict_aggr_ensemble.py naivebayes"),
        "novelty detector" => job("novelty_detect.py"),
        "raw writer" => job("raw_writer.py"),
        "cassandra" => {
            let options = (1..46).map(|number| format!("-Dcassandra.option.{number}=demo"));
            ["-ea".to_owned()]
                .into_iter()
                .chain(options)
                .chain(["org.apache.cassandra.service.CassandraDaemon".to_owned()])
                .collect()
        }
        "kairosDb server" => words(
            "-Xms256m -Xmx512m -cp conf/logging:lib/* org.kairosdb.core.Main -c run -p conf/kairosdb.properties",
        ),
        "grafana server" => {
            return Some((
                "grafana-server",
                words("--config=/etc/grafana/grafana.ini --homepath=/usr/share/grafana"),
            ));
        }
        "tomcat server" => words(
            "-Djava.util.logging.config.file=/opt/tomcat/conf/logging.properties -Xmx512m \
             -Djava.endorsed.dirs=/opt/tomcat/endorsed -classpath /opt/tomcat/bin/bootstrap.jar \
             -Dcatalina.base=/opt/tomcat -Dcatalina.home=/opt/tomcat -Djava.io.tmpdir=/opt/tomcat/temp \
             org.apache.catalina.startup.Bootstrap start",
        ),
        _ => return None,
    };
    Some(("java", arguments))
}

const KAFKA: &str = "/opt/mount1/kafka_2.10-0.9.0.0";

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
