//! What can befall nodes, their lines and the sequencer.

use campanile_engine::testkit::sequencer::Silence;
use campanile_engine::time::Clock as _;

use super::World;

impl World {
    /// Lets something happen to a node, its line, or what is at its other end.
    pub(super) fn befall(&mut self, site: usize) {
        let line = self.sites[site].line;
        match self.random.below(20) {
            0..=1 => self.sequencer.lose(line),
            2..=3 => self.sequencer.repeat(line),
            4..=5 => self.sequencer.cut(line, self.random.below(3)),
            6..=9 if !self.sequencer.is_connected(line) => self.sequencer.connect(line),
            10 => self.sequencer.silence(line, Silence::Heard),
            11 => self.sequencer.silence(line, Silence::Both),
            12 => self.begin_another_life(),
            13 => self.kill(site),
            14..=16 => {
                let is_suspended = !self.sites[site].is_suspended && self.random.one_in(2);
                self.suspend(site, is_suspended);
            }
            17..=18 => {
                let site = &mut self.sites[site];
                let room = site.inboxes.try_admit(usize::MAX / 2);
                site.crowd = room.filter(|_| site.crowd.is_none());
            }
            _ => self.sequencer.connect(line),
        }
    }

    fn begin_another_life(&mut self) {
        // A second loss may bring an epoch back that the first had ended: nobody can tell then.
        let kind = self.random.below(if self.is_lossy { 2 } else { 6 });
        self.is_lossy |= kind > 0;
        match kind {
            // What is restarted is no more, and everybody notices.
            0 => {
                self.cut_lines(1);
                self.sequencer.restart();
            }
            1 => {
                self.cut_lines(1);
                self.sequencer.restart_empty();
            }
            // What is deposed goes on for a while for those who have not noticed.
            lag => {
                self.sequencer.fail_over(lag - 2);
                self.cut_lines(4);
            }
        }
    }

    /// Cuts the lines of all nodes but of one in so many; of all, if that is one.
    fn cut_lines(&self, spared: usize) {
        for site in &self.sites {
            if spared == 1 || !self.random.one_in(spared) {
                self.sequencer.cut(site.line, self.random.below(3));
            }
        }
    }

    /// Ends a node at once and starts it again, empty.
    fn kill(&mut self, index: usize) {
        let successor = self.start();
        let dead = std::mem::replace(&mut self.sites[index], successor);
        self.sequencer.cut(dead.line, self.random.below(3));
        self.bus.leave(dead.id);
        self.order.take_if(|order| order.node == dead.number);
        for client in &mut self.clients {
            if client.home.as_ref().is_some_and(|(at, _)| *at == index) {
                client.lose_connection();
            }
        }
        for publisher in &mut self.publishers {
            publisher.lose_node(dead.number);
        }
    }

    pub(super) fn suspend(&mut self, index: usize, is_suspended: bool) {
        let site = &mut self.sites[index];
        if site.is_suspended != is_suspended {
            site.is_suspended = is_suspended;
            self.bus.hold(site.id, is_suspended);
        }
        site.reachable_since = self.clock.now().moment;
    }
}
